"""The rows of one run, as the state has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.rows.accepted import Fingerprint
from app.rows.outcomes import Op, RunState

PLANNED, HANDING, HANDED, ENDED = 0, 1, 2, 3  # steps of a row


class Staged(NamedTuple):
    """One row of a run, as it was read."""

    place: int  # its number in the source, from 1
    key: bytes | None
    label: str | None
    hash: bytes | None
    fingerprint: Fingerprint | None
    content: bytes | None
    op: Op
    step: int = PLANNED
    outcome: str | None = None
    detail: str | None = None


class New(NamedTuple):
    """A row that is to be sent, and that no earlier run has sent."""

    place: int
    key: bytes
    label: str
    hash: bytes
    fingerprint: Fingerprint | None
    content: bytes


class Waiting(NamedTuple):
    """A row that was handed over, and has not ended."""

    place: int
    event_key: bytes


class Planned(NamedTuple):
    """A row that is to be sent."""

    place: int
    key: bytes
    content: bytes
    handed_ms: int | None  # when an earlier process began to hand it over


class Rejected(NamedTuple):
    """A row that was not accepted."""

    place: int
    label: str
    outcome: str
    detail: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a sync."""

    id: str
    state: RunState
    started_ms: int
    ended_ms: int | None
    facts: Mapping[str, Any]
