"""Dead letters and calls of unknown outcome: the list, one call, a change to it, and acts on many. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from app.console.web import Asked, link
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.masking import mask_text
from app.operations.dead_letter_groups import Group, Survey
from app.operations.dead_letters import PLURALS, masked
from app.operations.editing import changed_paths, content_of

PATHS: Final[Mapping[DeadLetterQueue, str]] = {
    DeadLetterQueue.DEAD: "dead-letters",
    DeadLetterQueue.REVIEW: "unknown-outcomes",
}
QUEUES: Final[Mapping[str, DeadLetterQueue]] = {path: queue for queue, path in PATHS.items()}
TITLES: Final[Mapping[DeadLetterQueue, str]] = {
    DeadLetterQueue.DEAD: "Dead letters",
    DeadLetterQueue.REVIEW: "Unknown outcomes",
}
AGES: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_LINES: Final = 200  # of a difference
_VALUE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One kept call in the list."""

    id: str
    destination: str
    href: str
    died_at: datetime
    event: str
    endpoint: str
    reason: str
    detail: str
    attempts: int
    message_id: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Calls that fail in one way."""

    text: str
    destination: str
    endpoint: str
    event: str
    count: int
    oldest: datetime
    newest: datetime
    href: str


@dataclass(frozen=True, slots=True)
class ListPage:
    """The groups and the newest calls of a queue."""

    path: str
    title: str
    many: str
    query: Mapping[str, str]  # the filter, as addresses and forms carry it
    groups: Sequence[GroupRow]
    rows: Sequence[LetterRow]
    count: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Acting:
    """An act on many calls, before it begins."""

    path: str
    act: str
    query: Mapping[str, str]
    count: int
    conditions: Sequence[str]  # the filter in words


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after. None: it is not there."""

    path: str
    before: str | None
    after: str | None


def wanted_of(query: Mapping[str, str]) -> Filter:
    """The filter that an address names. What it does not know, it leaves out."""
    return Filter(
        destination=query.get("destination") or None,
        endpoint=query.get("endpoint") or None,
        reason=query.get("reason") or None,
        newer_than=AGES.get(query.get("newer", "")),
        older_than=AGES.get(query.get("older", "")),
        message_id=query.get("message_id") or None,
        event=query.get("event") or None,
        detail=query.get("detail") or None,
    )


_KNOWN: Final = ("destination", "endpoint", "reason", "newer", "older", "message_id", "event", "detail")


def query_of(query: Mapping[str, str]) -> Asked:
    """The part of an address that `wanted_of` reads."""
    return Asked({name: query[name][:500] for name in _KNOWN if query.get(name)})


def conditions(query: Mapping[str, str]) -> list[str]:
    """A filter in words."""
    return [f"{name.replace('_', ' ')}: {mask_text(value)}" for name, value in query.items()] or ["all of them"]


def list_page(queue: DeadLetterQueue, found: Survey, query: Mapping[str, str]) -> ListPage:
    """The list of one queue."""
    path = PATHS[queue]
    groups = [_group(path, group, query) for group in found.groups]
    rows = [_row(path, dead_letter) for dead_letter in found.newest]
    return ListPage(path, TITLES[queue], PLURALS[queue], query, groups, rows, found.count, found.complete)


def _group(path: str, group: Group, query: Mapping[str, str]) -> GroupRow:
    narrower = {
        **query,
        "destination": group.destination,
        "endpoint": group.endpoint or "none",
        "reason": group.reason,
        "detail": group.detail,
        "event": group.event,
    }
    return GroupRow(
        text=group.detail or reason_words(group.reason),
        destination=group.destination,
        endpoint=group.endpoint or "no call",
        event=mask_text(group.event),
        count=group.count,
        oldest=group.oldest,
        newest=group.newest,
        href=link(path, **narrower),
    )


def _row(path: str, dead_letter: DeadLetter) -> LetterRow:
    return LetterRow(
        id=dead_letter.id,
        destination=dead_letter.destination,
        href=link(path, dead_letter.destination, dead_letter.id),
        died_at=dead_letter.died_at,
        event=mask_text(dead_letter.event_name),
        endpoint=dead_letter.endpoint or "no call",
        reason=reason_words(dead_letter.reason),
        detail=dead_letter.detail,
        attempts=dead_letter.attempts,
        message_id=dead_letter.message_id,
    )


def reason_words(reason: str) -> str:
    """A stable code in words: "HTTP 400", "too old"."""
    return reason.replace("http_", "HTTP ").replace("_", " ")


def changes(dead_letter: DeadLetter, after: Any, *, reveal: bool) -> list[Change]:
    """What an edit changes, field by field; masked unless revealed."""
    before = content_of(dead_letter)
    paths = list(changed_paths(before, after))[:_LINES]
    if not reveal:
        before, after = masked(dead_letter, before), masked(dead_letter, after)
    return [Change(path or "everything", _at(before, path), _at(after, path)) for path in paths]


def _at(content: Any, path: str) -> str | None:
    """What stands at a dotted path. A key may hold a dot itself: the longest that exists is taken."""
    rest = path.split(".") if path else []
    while rest:
        if isinstance(content, dict):
            size = next((n for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in content), None)
            if size is None:
                return None
            content, rest = content[".".join(rest[:size])], rest[size:]
        elif isinstance(content, list) and rest[0].isdecimal() and int(rest[0]) < len(content):
            content, rest = content[int(rest[0])], rest[1:]
        else:
            return None
    return _short(content)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _VALUE_CHARS else text[:_VALUE_CHARS] + "…"
