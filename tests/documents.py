"""The YAML files of the project, read once by each process of tests, with the C parser where there is one."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def read_yaml(file: Path) -> Any:
    """The content, shared by all who read it: change nothing in it."""
    return yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
