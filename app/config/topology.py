"""Who sends, and where to: the whole file, read and checked."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from app.config.alerts import Alerts
from app.config.bad_settings import BadSettings
from app.config.console import Console, ConsoleGrant
from app.config.destination import Destination
from app.config.document import BadFile, Document, Mistake
from app.config.files import Stamp, stamp
from app.config.near_misses import near_misses
from app.config.source import Source
from app.config.sync import Sync
from app.config.values import Frozen, Name, SandboxAccount, Secrets, misplaced, nearest


class Topology(Frozen):
    """Who sends, and where to: the YAML file's content."""

    destinations: dict[Name, Destination] = Field(min_length=1)
    sources: dict[Name, Source] = Field(min_length=1)
    syncs: dict[Name, Sync] = Field(default_factory=dict)
    console: Console | None = None
    alerts: Alerts = Alerts()

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        if mistakes := [
            *self._unknown_destinations(),
            *self._unknown_sources(),
            *self._impossible_syncs(),
            *self._repeated_keys(),
            *self._unknown_of_console(),
            *self._unknown_of_alerts(),
        ]:
            raise misplaced(mistakes)
        return self

    def _unknown_destinations(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, source in self.sources.items():
            if source.destination not in self.destinations:
                hint = nearest(source.destination, self.destinations)
                yield ("sources", name, "destination"), f"must be the name of a destination; {hint}"

    def _unknown_sources(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for destination, wanted in self.destinations.items():
            own = [name for name, source in self.sources.items() if source.destination == destination]
            for kind, rules in (("opt_in", wanted.subscriptions.opt_in), ("opt_out", wanted.subscriptions.opt_out)):
                for number, rule in enumerate(rules):
                    for place, name in enumerate(rule.sources or ()):
                        if name not in own:
                            where = ("destinations", destination, "subscriptions", kind, number, "sources", place)
                            yield where, f"must be the name of a source of this destination; {nearest(name, own)}"

    def syncs_of(self, destination: str) -> dict[str, Sync]:
        """The syncs whose rows go to this destination, by name."""
        return {name: sync for name, sync in self.syncs.items() if sync.destination == destination}

    def _impossible_syncs(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, sync in self.syncs.items():
            destination = self.destinations.get(sync.destination)
            if destination is None:
                hint = nearest(sync.destination, self.destinations)
                yield ("syncs", name, "destination"), f"must be the name of a destination; {hint}"
            elif sync.object == "attributes" and destination.attributes.endpoint == "off":
                yield ("syncs", name, "object"), "needs `attributes.endpoint` of its destination, which is off"

    def _repeated_keys(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        first: dict[str, str] = {}
        for name, source in self.sources.items():
            for number, write_key in enumerate(source.write_keys):
                key = write_key.key.get_secret_value()
                if key in first:
                    yield ("sources", name, "write_keys", number, "key"), f"is also a write key of {first[key]}"
                first.setdefault(key, name)

    def _unknown_of_console(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.console is None:
            return
        grants: dict[tuple[str, str], ConsoleGrant] = {}
        grants |= {("users", who): grant for who, grant in self.console.users.items()}
        grants |= {("groups", who): grant for who, grant in self.console.groups.items()}
        for whose, grant in grants.items():
            for place, name in enumerate(grant.destinations or ()):
                if name not in self.destinations:
                    hint = nearest(name, self.destinations)
                    yield ("console", *whose, "destinations", place), f"must be the name of a destination; {hint}"

    def _unknown_of_alerts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for channel, settings in self.alerts.channels.items():
            for place, name in enumerate(settings.destinations or ()):
                if name not in self.destinations:
                    where = ("alerts", "channels", channel, "destinations", place)
                    yield where, f"must be the name of a destination; {nearest(name, self.destinations)}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the configuration."""

    topology: Topology
    sha256: str = "none"  # of the file, as sha256sum prints it
    files: Mapping[Path, Stamp] = field(default_factory=dict)  # what it was read from: itself, the files of its secrets
    unknown_secrets: int = 0  # that only a placeholder stands for
    warnings: tuple[Mistake, ...] = ()  # what is probably not meant, and can be used
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as it was given, with its secrets


def load_file(path: Path, *, secrets_needed: bool = True, sandbox: SandboxAccount | None = None) -> Loaded:
    """The file's content. Raises BadSettings with every mistake, its line and what was expected.

    Without `secrets_needed`, a secret that this process cannot read is not a mistake. A `sandbox` takes
    the place of every account.
    """
    seen = stamp(path)
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise BadSettings(f"GATEWAY_CONFIG: {path} cannot be read: {failure.strerror}") from None
    loaded = load_content(path, content, Secrets(needed=secrets_needed, sandbox=sandbox))
    return replace(loaded, files={path: seen, **loaded.files})


def load_content(path: Path, content: bytes, secrets: Secrets) -> Loaded:
    """What a file at this path would mean with this content. Raises BadFile."""
    document = Document(path, content)
    try:
        topology = Topology.model_validate(document.content, context=secrets)
    except ValidationError as invalid:
        raise BadFile(path, document.mistakes(invalid.errors(include_url=False))) from None
    sha256 = hashlib.sha256(content).hexdigest()
    warnings = tuple(_warnings(document, topology))
    return Loaded(topology, sha256, secrets.files, secrets.missing, warnings, document.content or {})


def _warnings(document: Document, topology: Topology) -> Iterator[Mistake]:
    for name, destination in topology.destinations.items():
        for steps, meant in near_misses(destination):
            where, line = document.place(("destinations", name, *steps))
            yield Mistake(line, ".".join(where), f"is a new event. Did you mean {meant!r}?".replace("'", '"'))
