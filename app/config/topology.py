"""Who sends, and where to: the whole file, read and checked."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from app.config.destination import Destination
from app.config.document import BadFile, Document
from app.config.files import Stamp, stamp
from app.config.source import Source
from app.config.values import BadSettings, Frozen, Name, Secrets, misplaced, nearest


class Topology(Frozen):
    """Who sends, and where to: the YAML file's content."""

    destinations: dict[Name, Destination] = Field(min_length=1)
    sources: dict[Name, Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        if mistakes := [*self._unknown_destinations(), *self._repeated_keys()]:
            raise misplaced(mistakes)
        return self

    def _unknown_destinations(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, source in self.sources.items():
            if source.destination not in self.destinations:
                hint = nearest(source.destination, self.destinations)
                yield ("sources", name, "destination"), f"must be the name of a destination; {hint}"

    def _repeated_keys(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        first: dict[str, str] = {}
        for name, source in self.sources.items():
            for number, write_key in enumerate(source.write_keys):
                key = write_key.key.get_secret_value()
                if key in first:
                    yield ("sources", name, "write_keys", number, "key"), f"the same as a write key of {first[key]}"
                first.setdefault(key, name)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the configuration."""

    topology: Topology
    sha256: str = "none"  # of the file, as sha256sum prints it
    files: Mapping[Path, Stamp] = field(default_factory=dict)  # what it was read from: itself, the files of its secrets
    unknown_secrets: int = 0  # that only a placeholder stands for


def load_file(path: Path, *, secrets_needed: bool = True) -> Loaded:
    """The file's content. Raises BadSettings with every mistake, its line and what was expected.

    Without `secrets_needed`, a secret that is kept where this process cannot see it is no mistake.
    """
    files = {path: stamp(path)}
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise BadSettings(f"GATEWAY_CONFIG: cannot read {path}: {failure.strerror}") from None
    document = Document(path, content)
    secrets = Secrets(needed=secrets_needed)
    try:
        topology = Topology.model_validate(document.content, context=secrets)
    except ValidationError as invalid:
        raise BadFile(path, document.mistakes(invalid.errors(include_url=False))) from None
    return Loaded(topology, hashlib.sha256(content).hexdigest(), files | secrets.files, secrets.missing)
