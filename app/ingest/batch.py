"""The events of one request: where its body has them, and what a batch says once for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from app.ingest.body import parse_json, parse_part
from app.ingest.paths import TrackingPath
from app.ingest.refusal import Refused
from app.ingest.signatures import webhook_id

_ABSENT: Final = msgspec.Raw()


class _Envelope(msgspec.Struct):
    """A batch whose events are not decoded yet: each takes the place in memory of the one before it, and finds it in
    the processor's caches. With all of them decoded at once, an event of a batch cost 3 µs more.
    """

    batch: list[msgspec.Raw] | None = None
    writeKey: msgspec.Raw = _ABSENT  # noqa: N815
    sentAt: msgspec.Raw = _ABSENT  # noqa: N815
    context: msgspec.Raw = _ABSENT
    integrations: msgspec.Raw = _ABSENT


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def content_of(path: TrackingPath, body: bytes) -> Any:
    """The value of a body; the events of a batch may still be JSON, which `decoded` is for. Raises Refused."""
    envelope = _opened(body) if path.type is None else None
    if envelope is None or envelope.batch is None:
        return parse_json(body)
    around = msgspec.structs.asdict(envelope)
    batch = around.pop("batch")
    return {"batch": batch, **{name: parse_part(memoryview(part), name) for name, part in around.items() if part}}


def _opened(body: bytes) -> _Envelope | None:
    """None for what is no batch or not quite JSON: the parser knows what to do with it, or what to say."""
    try:
        return _ENVELOPE.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def decoded(event: Any) -> Any:
    """The value of an event of `content_of`. Raises Refused."""
    return parse_part(memoryview(event), "event") if type(event) is msgspec.Raw else event


def events_in(path: TrackingPath, content: Any, *, most: int) -> list[Any]:
    """The events of a decoded body, at most this many, not yet checked. Raises Refused when all of it is of no use."""
    if path.type is not None:
        if isinstance(content, dict):
            content["type"] = path.type  # whatever the body says
        return [content]
    events = content
    if isinstance(content, dict):
        is_event = "batch" not in content and "type" in content  # webhooks post single events to the same address
        events = [content] if is_event else content.get("batch")
    if not isinstance(events, list):
        raise Refused(400, "bad_request", "batch: must be a list of events", field="batch")
    if not events:
        raise Refused(400, "empty_batch", "batch: holds no event", field="batch")
    if len(events) > most:
        rule = f"batch: at most {most:,} events, this one has {len(events):,}"
        raise Refused(400, "batch_too_long", rule, field="batch")
    return events


def name_after_webhook(events: list[Any], headers: Mapping[bytes, bytes]) -> None:
    """A single event without an id of its own gets the webhook's, which is the same on every retry of the sender."""
    if (given := webhook_id(headers)) is None or len(events) != 1:
        return
    event = events[0] = decoded(events[0])
    if isinstance(event, dict) and event.get("messageId") in (None, ""):
        event["messageId"] = given


class Shared:
    """What a batch says once for all its events: its time of sending, its context, its integrations."""

    def __init__(self, batch: Any, events: Sequence[Any]) -> None:
        """`events` are those of the decoded body `batch`, which may be an event itself: that shares nothing."""
        is_batch = isinstance(batch, dict) and events[0] is not batch
        names = ("sentAt", "context", "integrations") if is_batch else ()
        self._parts: dict[str, Any] = {name: batch[name] for name in names if batch.get(name)}
        self.bytes = len(json_of(self._parts)) if self._parts else 0

    def lent_to(self, event: Any) -> Any:
        """The event with the batch's `context` and `integrations` beneath its own, and its `sentAt` if it has none.

        The batch's `messageId` and `timestamp` are its own: events that took them would all be one.
        """
        if not self._parts or not isinstance(event, dict):
            return event
        if event.get("sentAt") is None and (sent_at := self._parts.get("sentAt")) is not None:
            event["sentAt"] = sent_at
        for name in ("context", "integrations"):
            below = self._parts.get(name)
            if isinstance(below, dict) and below:
                try:
                    event[name] = _merged(below, event.get(name))
                except RecursionError:
                    raise too_deep() from None
        return event


def _merged(below: Mapping[str, Any], above: Any) -> Any:
    if above is None:
        return below
    if not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if isinstance(beneath, dict) else value
    return merged


def json_of(value: Any) -> bytes:
    """The JSON of a decoded value. Raises Refused for one that is nested too deeply."""
    try:
        return orjson.dumps(value)
    except TypeError:
        raise too_deep() from None


def too_deep() -> Refused:
    """The refusal of an event that nobody could read again."""
    return Refused(400, "too_deep", "the event is nested too deeply to be forwarded")
