"""Which calls are recorded, and what is recorded of them. Pure.

A failed call is always recorded. A delivered one is recorded while a person watches calls like it, or if it belongs
to the configured share. A record costs 50 to 100 µs, so it is made for these only.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
import orjson

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import BY_NAME
from app.delivery.delivery import Delivery
from app.delivery.journal.event_rows import EventFilter, RowOutcome
from app.delivery.journal.recorded_call import Because, pack
from app.delivery.journal.row_index import identifier_heads, row_head, rows_of
from app.delivery.journal.search_hashes import Kind, search_hash
from app.masking import mask_answer, mask_personal, mask_text, printable
from app.value import Value

ANSWER_CHARS: Final = 4000
_BODY_BYTES: Final = 32_768  # of a larger request or event, only its size is recorded
_NAME_CHARS: Final = 200
_MOST_PLAIN: Final = 1024
_SENT: Final[Mapping[str, Kind]] = {"email": "emails", "phone": "phones", "clientUserId": "user_ids"}
_NAMED: Final[Mapping[str, Kind]] = {"userId": "user_ids", "previousId": "user_ids", "anonymousId": "anonymous_ids"}
_ORDER_ID: Final = ("order_id", "orderId")


@dataclass(frozen=True, slots=True)
class Recording:
    """How much is recorded. The oldest calls are removed first."""

    calls: int = 10_000  # per destination
    bytes: int = 32 * 2**20  # per destination
    share: float = 0.0  # of the delivered calls


class Recorded(Value, frozen=True, gc=False):
    """What is stored of one attempt: its row in the journal's index, and the call if it is recorded."""

    personal: ClassVar = frozenset({"call"})

    row: bytes = b""
    call: bytes = b""
    call_rows: bytes = b""


NOT_RECORDED: Final = Recorded()


class _Named(msgspec.Struct):
    event: Any = None
    type: Any = None


_NAMED_IN: Final = msgspec.json.Decoder(_Named)


def event_name(event: bytes) -> str:
    """The name of an event by its JSON, or its type if it has no name, masked. Empty if it cannot be read."""
    try:
        named = _NAMED_IN.decode(event)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    name = named.event or named.type
    return shown_name(name) if isinstance(name, str) else ""


_PLAIN: Final[set[str]] = set()  # event names in which nothing is masked: few names make up nearly all events


def shown_name(name: str) -> str:
    """The name of an event as the journal shows it."""
    if name in _PLAIN:
        return name
    shown = printable(mask_text(name)[:_NAME_CHARS])
    if shown == name and len(_PLAIN) < _MOST_PLAIN:
        _PLAIN.add(name)
    return shown


def not_recorded(delivery: Delivery, event: str, outcome: RowOutcome) -> Recorded:
    """What is stored of an attempt that is not recorded."""
    head = row_head(outcome, delivery.source, event, (delivery.endpoint,))
    return Recorded(rows_of(delivery.message_id, head))


class Recorder:
    """Decides for each attempt whether it is recorded, and makes the record."""

    def __init__(self, share: float = 0.0) -> None:
        """`share` of the delivered calls are recorded, even if no person watches."""
        self._sampled_below = share * 2**32
        self._watching = b""
        self._filters: Sequence[EventFilter] = ()

    def watch(self, watching: bytes | None) -> None:
        """Use the watchers of the latest claim. None if there are none."""
        if watching != self._watching:
            self._watching = watching or b""
            self._filters = filters_of(self._watching)

    def of(
        self, delivery: Delivery, event: str, reply: Reply | Unreachable, outcome: RowOutcome, reason: str
    ) -> Recorded:
        """What is stored of an attempt with this outcome."""
        plain = not_recorded(delivery, event, outcome)
        because = self._because(delivery, event, outcome)
        if because is None:
            return plain
        call, hashes = _call(delivery, event, reply, outcome, reason, because)
        head = row_head(outcome, delivery.source, event, (delivery.endpoint,))
        return Recorded(plain.row, call, rows_of(delivery.message_id, head, identifier_heads(hashes)))

    def _because(self, delivery: Delivery, event: str, outcome: RowOutcome) -> Because | None:
        if outcome is not RowOutcome.DELIVERED:
            return Because.FAILED
        if self._filters and any(_is_meant(each, delivery, event, outcome) for each in self._filters):
            return Because.WATCHED
        if self._sampled_below and zlib.crc32(delivery.message_id.encode()) < self._sampled_below:
            return Because.SAMPLED  # by the message ID, so that all calls of an event are recorded, or none
        return None


def filters_of(watching: bytes) -> Sequence[EventFilter]:
    """The filters of the watchers, as watch.lua stores them. Unreadable ones match nothing."""
    try:
        return [_filter(orjson.loads(each["filter"])) for each in orjson.loads(watching)] if watching else []
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def stored_filter(wanted: EventFilter) -> bytes:
    """What workers need of a filter. It names no person: the watcher filters by person."""
    facts = {
        "message_id": wanted.message_id,
        "event": wanted.event,
        "source": wanted.source,
        "endpoint": wanted.endpoint,
        "outcomes": sorted(wanted.outcomes),
    }
    return orjson.dumps({name: value for name, value in facts.items() if value})


def _filter(facts: dict[str, Any]) -> EventFilter:
    outcomes = frozenset(map(RowOutcome, facts.pop("outcomes", ())))
    return EventFilter(**facts, outcomes=outcomes)


def _is_meant(wanted: EventFilter, delivery: Delivery, event: str, outcome: RowOutcome) -> bool:
    return (
        wanted.message_id in (None, delivery.message_id)
        and wanted.source in (None, delivery.source)
        and wanted.endpoint in (None, delivery.endpoint)
        and (wanted.event is None or wanted.event.casefold() == event.casefold())
        and (not wanted.outcomes or outcome in wanted.outcomes)
    )


def _call(
    delivery: Delivery, event: str, reply: Reply | Unreachable, outcome: RowOutcome, reason: str, because: Because
) -> tuple[bytes, list[int]]:
    """The stored form of a call, and the search hashes that find it."""
    body, original = _loaded(delivery.body), _loaded(delivery.event)
    hashes = _hashes(body, original)
    (request,) = mask_personal({delivery.endpoint: body}).values()
    facts: dict[str, Any] = {
        "source": delivery.source,
        "message_id": delivery.message_id,
        "event": event,
        "endpoint": delivery.endpoint,
        "method": "POST",
        "path": BY_NAME[delivery.endpoint].path,
        "attempt": delivery.attempt,
        "outcome": outcome,
        "reason": reason,
        "because": because,
        "received_at": delivery.received_ms,
        "request": request,
        "original": mask_personal(original),
        "hashes": hashes,
        **_answer(reply),
    }
    return pack(facts), hashes


def _answer(reply: Reply | Unreachable) -> dict[str, Any]:
    facts: dict[str, Any] = {"took_ms": round(reply.took.total_seconds() * 1000, 1)}
    match reply:
        case Reply():
            facts |= {
                "status": reply.status,
                "limit": reply.limit,
                "remaining": reply.remaining,
                "retry_after_s": reply.retry_after.total_seconds() if reply.retry_after else None,
                "answer": mask_answer(reply.body, ANSWER_CHARS),
                "answer_bytes": len(reply.body),
            }
        case Unreachable():
            facts["unreachable"] = reply.reason
    return facts


def _loaded(body: bytes) -> Any:
    if len(body) > _BODY_BYTES:
        return {"not recorded": f"{len(body):,} bytes"}
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _hashes(body: Any, original: Any) -> list[int]:
    """The hashes of every identifier of the person, and of the order."""
    named: list[tuple[Kind, Any]] = []
    for part in (_part(body, "user"), _part(body, "identifiers"), _part(body, "user", "externalIdentifiers"), body):
        named += [(kind, part.get(name)) for name, kind in _SENT.items()] if isinstance(part, dict) else []
    for part in (_part(original, "traits"), _part(original, "context", "traits")):
        named += [(_SENT[name], part.get(name)) for name in ("email", "phone")] if isinstance(part, dict) else []
    if isinstance(original, dict):
        named += [(kind, original.get(name)) for name, kind in _NAMED.items()]
    orders = _part(original, "properties")
    named += [("order_ids", orders.get(name)) for name in _ORDER_ID] if isinstance(orders, dict) else []
    texts = [(kind, str(value)) for kind, value in named if isinstance(value, str | int) and value != ""]
    return sorted({search_hash(kind, value) for kind, value in texts})


def _part(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
