"""Who sends, and where to: the whole file, read and checked."""

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from app.config.destination import Destination
from app.config.source import Source
from app.config.values import NAME, BadSettings, Frozen, sentence


class Topology(Frozen):
    """Who sends, and where to: the YAML file's content."""

    destinations: dict[Annotated[str, Field(pattern=NAME)], Destination] = Field(min_length=1)
    sources: dict[Annotated[str, Field(pattern=NAME)], Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        keys: dict[str, str] = {}
        for name, source in self.sources.items():
            if source.destination not in self.destinations:
                known = ", ".join(self.destinations)
                raise ValueError(f"sources.{name}.destination: {source.destination!r} is none of {known}")
            for write_key in source.write_keys:
                if (other := keys.setdefault(write_key.key.get_secret_value(), name)) != name:
                    raise ValueError(f"sources.{name}.write_key: the same as one of {other}")
        return self


def read_topology(path: Path) -> Topology:
    """The file's content. Raises BadSettings with what was expected and where."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise BadSettings(f"GATEWAY_CONFIG: cannot read {path}: {failure.strerror}") from None
    except yaml.YAMLError as failure:  # its own text quotes the line, which may hold a secret
        mark = getattr(failure, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(failure, "problem", None) or "it holds characters that YAML forbids"
        raise BadSettings(f"GATEWAY_CONFIG: {path}{where}: not YAML: {problem}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"GATEWAY_CONFIG: {path} is not text in UTF-8") from None
    try:
        return Topology.model_validate(content)
    except ValidationError as invalid:
        mistakes = "; ".join(sentence(error, ".".join) for error in invalid.errors())
        raise BadSettings(f"GATEWAY_CONFIG: {path}: {mistakes}") from None
