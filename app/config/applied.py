"""The configuration that gateways and workers run, as Redis keeps it for commands. It contains no secret.

Secrets that a file names by a variable or a path stay such references. Those that it contains are replaced by
references to nothing, which read as placeholders. Who may use the console is left out.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError

from app.config.bad_settings import BadSettings
from app.config.topology import Loaded, Topology
from app.config.values import Secrets

VERSION: Final = 1
# Settings that bound what operations keep: where a command has none of its own, those of the gateway hold.
LIMITS: Final = (
    *("journal_entries", "journal_bytes", "journal_hours"),
    *("dead_letter_days", "dead_letter_entries", "dead_letter_bytes"),
)
# Where a file can contain a secret, by the names of its keys; * is any name, or any place in a list.
SECRETS: Final = frozenset(
    {
        ("destinations", "*", "api_token"),
        ("sources", "*", "write_key"),
        ("sources", "*", "write_keys", "*"),
        ("sources", "*", "write_keys", "*", "key"),
        ("sources", "*", "signing", "secrets", "*"),
        ("syncs", "*", "source", "connection"),
        ("syncs", "*", "results", "connection"),
        ("alerts", "channels", "*", "url"),
        ("alerts", "heartbeat"),
    }
)
_NOT_READ: Final = frozenset({"console"})
_REFERENCES: Final = ({"env"}, {"file"})

Limits = Mapping[str, float]  # values of settings, by field


@dataclass(frozen=True, slots=True)
class Applied:
    """What a process put to use, and when."""

    topology: Topology
    limits: Limits
    at: datetime
    release: str


def to_json(loaded: Loaded, limits: Limits, *, at: datetime, release: str) -> bytes:
    """The stored form of a configuration, without its secrets."""
    document = {name: part for name, part in loaded.document.items() if name not in _NOT_READ}
    return orjson.dumps(
        {
            "v": VERSION,
            "release": release,
            "at": at.astimezone(UTC).isoformat(),
            "sha256": loaded.sha256,
            "limits": dict(limits),
            "document": _without_secrets(document, (), itertools.count(1)),
        },
        option=orjson.OPT_NON_STR_KEYS,
    )


def _without_secrets(value: Any, place: tuple[str, ...], numbers: Iterator[int]) -> Any:
    match value:
        case dict() if _is_secret(place) and set(value) in _REFERENCES:
            return value
        case dict():
            return {name: _without_secrets(inner, (*place, str(name)), numbers) for name, inner in value.items()}
        case list() | tuple():
            return [_without_secrets(inner, (*place, "*"), numbers) for inner in value]
        case None:
            return None
        case _ if _is_secret(place):
            return {"env": f"NOT_STORED_{next(numbers)}"}
        case _:
            return value


def _is_secret(place: tuple[str, ...]) -> bool:
    return any(
        len(place) == len(secret) and all(part in ("*", name) for part, name in zip(secret, place, strict=True))
        for secret in SECRETS
    )


def from_json(stored: bytes) -> Applied:
    """What a process stored. Raises BadSettings for what only another release can read."""
    release = "another release"
    try:
        fields: dict[str, Any] = orjson.loads(stored)
        release = f"release {fields['release']}"
        if fields["v"] != VERSION:
            raise ValueError
        topology = Topology.model_validate(fields["document"], context=Secrets(needed=False))
        return Applied(topology, fields["limits"], datetime.fromisoformat(fields["at"]), fields["release"])
    except (ValidationError, ValueError, KeyError, TypeError):
        raise BadSettings(
            f"The configuration in Redis was written by {release}, and this version cannot read it"
        ) from None
