"""The events of one request: where its body has them, and which fields a batch shares with all of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import orjson

from app.ingest.body import parse_json, parse_part
from app.ingest.paths import TrackingPath
from app.ingest.refusal import Refused
from app.ingest.signatures import Scheme, Signing, webhook_id

_ABSENT: Final = msgspec.Raw()


class _Envelope(msgspec.Struct):
    """A batch whose events are not decoded yet. Each event is decoded into the memory of the previous one, which is in
    the processor's caches. Decoding all of them at once cost 3 µs more per event.
    """

    batch: list[msgspec.Raw] | None = None
    writeKey: msgspec.Raw = _ABSENT  # noqa: N815
    sentAt: msgspec.Raw = _ABSENT  # noqa: N815
    context: msgspec.Raw = _ABSENT
    integrations: msgspec.Raw = _ABSENT


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def content_of(path: TrackingPath, body: bytes, *, lenient: bool = True) -> Any:
    """The value of a body. The events of a batch may still be JSON; `decoded` reads them. Raises Refused.

    `lenient`: accept invalid JSON that Python's own encoder writes. It takes many times longer to read.
    """
    envelope = _opened(body) if path.type is None else None
    if envelope is None or envelope.batch is None:
        return parse_json(body, lenient=lenient)
    around = msgspec.structs.asdict(envelope)
    batch = around.pop("batch")
    return {
        "batch": batch,
        **{name: parse_part(memoryview(part), name, lenient=lenient) for name, part in around.items() if part},
    }


def _opened(body: bytes) -> _Envelope | None:
    """None if it is not a batch or not quite JSON: the full parser reads it, or explains the mistake."""
    try:
        return _ENVELOPE.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def decoded(event: Any, *, lenient: bool = True) -> Any:
    """The value of an event of `content_of`. Raises Refused."""
    return parse_part(memoryview(event), "event", lenient=lenient) if type(event) is msgspec.Raw else event


def events_in(path: TrackingPath, content: Any, *, most: int) -> list[Any]:
    """The events of a decoded body, at most this many, not yet checked. Raises Refused if none can be used."""
    if path.type is not None:
        if isinstance(content, dict):
            content["type"] = path.type  # whatever type the body contains
        return [content]
    events = content
    if isinstance(content, dict):
        is_event = "batch" not in content and "type" in content  # webhooks post single events to the same path
        events = [content] if is_event else content.get("batch")
    if not isinstance(events, list):
        raise Refused(400, "bad_request", "batch: must be a list of events", field="batch")
    if not events:
        raise Refused(400, "empty_batch", "batch: holds no event", field="batch")
    if len(events) > most:
        rule = f"batch: at most {most:,} events, this one has {len(events):,}"
        raise Refused(400, "batch_too_long", rule, field="batch")
    return events


def default_message_id(events: list[Any], headers: Mapping[bytes, bytes]) -> None:
    """Give events without an ID the webhook's ID, which stays the same on retries. Several add their position."""
    if (given := webhook_id(headers)) is None:
        return
    for index, event in enumerate(events):
        with suppress(Refused):  # an unreadable event is refused when its turn comes
            events[index] = event = decoded(event)
        if isinstance(event, dict) and event.get("messageId") in (None, ""):
            event["messageId"] = given if len(events) == 1 else f"{given}.{index}"


def check_signed(signing: Signing | None, content: Any, events: list[Any]) -> None:
    """Raise Refused for events that Segment's signature does not cover, or that could be replayed forever.

    Segment signs only the first event of a list, and no time: the gateway recognises a repeat only by the event's ID.
    """
    if signing is None or signing.scheme is not Scheme.SEGMENT:
        return
    if isinstance(content, list) and len(events) > 1:
        message = "a signature covers only the first event of a list: set the batch size of the webhook to 0"
        raise Refused(400, "signature_covers_one_event", message, field="batch")
    for index, event in enumerate(events):
        events[index] = event = decoded(event)
        if isinstance(event, dict) and event.get("messageId") in (None, ""):
            message = "messageId: must be present, so that the gateway recognises a signed event that is sent again"
            raise Refused(400, "id_required", message, field="messageId")


class Shared:
    """The fields that a batch shares with all its events: its `sentAt`, its context and its integrations."""

    def __init__(self, batch: Any, events: Sequence[Any]) -> None:
        """`events` are those of the decoded body `batch`. The body may be a single event, which shares nothing."""
        is_batch = isinstance(batch, dict) and events[0] is not batch
        names = ("sentAt", "context", "integrations") if is_batch else ()
        self._parts: dict[str, Any] = {name: batch[name] for name in names if batch.get(name)}
        self.bytes = len(json_of(self._parts)) if self._parts else 0

    def with_batch_defaults(self, event: Any) -> Any:
        """The event with the batch's `context` and `integrations` as defaults, and its `sentAt` if it has none.

        `messageId` and `timestamp` of the batch are not inherited: all its events would become one.
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
    if above is None or above == []:  # an empty map, as PHP writes it
        return below
    if not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if isinstance(beneath, dict) else value
    return merged


def json_of(value: Any) -> bytes:
    """The JSON of a decoded value. Raises Refused if it is nested too deeply."""
    try:
        return orjson.dumps(value)
    except TypeError:
        raise too_deep() from None


def too_deep() -> Refused:
    """The refusal of an event that could not be read again."""
    return Refused(400, "too_deep", "the event is nested too deeply to be forwarded")
