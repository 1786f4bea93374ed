"""One Segment event: its shape on the wire, the rules it must keep, and the frozen form used from there on.

Source: Segment's Spec (common fields) and the validation codes of its HTTP API.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.value import Value

MESSAGE_ID_CHARS: Final = 100
EVENT_TYPES: Final = frozenset({"track", "identify", "page", "screen", "group", "alias", "delete"})
_NOTHING: Final[Mapping[str, Any]] = {}
NUMBERS: Final = frozenset({int, float})  # as JSON has them: True is none
_OBJECT: Final = frozenset({dict, type(None)})


class WireEvent(BaseModel):
    """An event as trackers send it. `null` means absent, numbers are taken for ids, unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)

    type: str | None = Field(None, description="track, identify or page; the path supplies it on single-event routes")
    messageId: str | None = Field(None, description="the tracker's id of this event; a repeat within 24 h is dropped")  # noqa: N815
    userId: str | None = Field(None, description="the shop's own id of the person")  # noqa: N815
    anonymousId: str | None = Field(None, description="the tracker's id of the browser; never sent to Attentive")  # noqa: N815
    previousId: Any = Field(None, description="the id that this person had before (alias)")  # noqa: N815
    event: str | None = Field(None, description="the event's name; required for track")
    properties: dict[str, Any] | None = Field(None, description="what happened (track, page)")
    traits: dict[str, Any] | None = Field(None, description="who it is (identify)")
    context: dict[str, Any] | None = Field(None, description="surroundings; `traits` in it says who it is")
    integrations: Any = Field(None, description="routing by destination name")
    timestamp: Any = Field(None, description="when it happened: ISO 8601, or epoch seconds or milliseconds")
    originalTimestamp: Any = Field(None, description="the tracker's own clock at that moment")  # noqa: N815
    sentAt: Any = Field(None, description="the tracker's clock when the request left")  # noqa: N815


class SegmentEvent(Value, frozen=True, gc=False):
    """One valid event. Containers are never None; ids are None when absent or blank."""

    personal: ClassVar = frozenset({"user_id", "properties", "traits", "raw", "previous_id"})

    type: str
    message_id: str
    user_id: str | None = None
    anonymous_id: str | None = None
    name: str | None = None  # of a track event
    properties: Mapping[str, Any] = msgspec.field(default_factory=dict)
    traits: Mapping[str, Any] = msgspec.field(default_factory=dict)  # own traits over context.traits
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    integrations: Any = None
    raw: Mapping[str, Any] = msgspec.field(default_factory=dict)  # the whole of it as it came; never changed
    previous_id: str | None = None  # of an alias: the id that this person had before

    def whole(self) -> dict[str, Any]:
        """The event as one object, for whoever looks for something by path: as it came, ids and traits as above.

        Without `anonymousId`, which is never sent.
        """
        known = {"type": self.type, "event": self.name, "userId": self.user_id, "messageId": self.message_id}
        return {**self.raw, **known, "properties": self.properties, "traits": self.traits, "anonymousId": None}


class InvalidEvent(Exception):  # noqa: N818 - it names the event, the way HTTP names the answer
    """An event that breaks a rule of the Spec. `code` is Segment's; `field` is the dotted path of what to mend."""

    def __init__(self, code: str, field: str, rule: str) -> None:
        """Say which `field` breaks which `rule`."""
        super().__init__(f"{field}: {rule}")
        self.code, self.field, self.rule = code, field, rule


_CODES = {
    "userId": "id_not_string",
    "anonymousId": "id_not_string",
    "messageId": "id_not_string",
    "event": "event_not_string",
    "properties": "properties_not_object",
    "traits": "traits_not_object",
    "context": "context_not_object",
}


def to_text(value: object) -> str | None:
    """A value of an event as text, without blanks around it; numbers become it. None for a blank and all else."""
    if type(value) is str:
        return value.strip() or None
    return str(value) if type(value) in NUMBERS else None


def names_by_traits(event: SegmentEvent) -> bool:
    """Whether an event without any id of the tracker's says itself whom it is about."""
    return bool(event.traits.get("email") or event.traits.get("phone"))


def parse_event(raw: object, names_somebody: Callable[[SegmentEvent], bool] = names_by_traits) -> SegmentEvent:
    """Check one decoded JSON value against the Spec. Raises InvalidEvent.

    `names_somebody` is asked of an event that has neither `userId` nor `anonymousId`.
    """
    if not isinstance(raw, dict):
        raise InvalidEvent("bad_request", "event", "must be a JSON object")
    wire = _tidied(raw)
    kind = wire.type or raw.get("action")  # `action`: the name of the field in version 1 of the Spec
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise InvalidEvent("bad_request", "type", f"must be one of {', '.join(sorted(EVENT_TYPES))}")
    user_id, anonymous_id = _present(wire.userId), _present(wire.anonymousId)
    name = _present(wire.event)
    if kind == "track" and name is None:
        raise InvalidEvent("event_not_defined", "event", "must be a non-empty string on a track call")
    context_traits = wire.context.get("traits") if wire.context else None
    if context_traits is not None and not isinstance(context_traits, dict):
        raise InvalidEvent("traits_not_object", "context.traits", "must be a JSON object")
    event = SegmentEvent(
        type=kind,
        message_id=_message_id(wire.messageId),
        user_id=user_id,
        anonymous_id=anonymous_id,
        name=name,
        properties=wire.properties or _NOTHING,
        traits=_overlay(context_traits, wire.traits if kind != "group" else None),
        timestamp=wire.timestamp,
        original_timestamp=wire.originalTimestamp,
        sent_at=wire.sentAt,
        integrations=wire.integrations,
        raw=raw,
        previous_id=_previous_id(wire.previousId) if kind == "alias" else None,
    )
    if user_id is None and anonymous_id is None and not names_somebody(event):
        raise InvalidEvent("id_required", "userId", "userId or anonymousId must be present and not blank")
    return event


class _Tidy(msgspec.Struct, gc=False):
    """A WireEvent in which every field has its own type already, as in nearly all: told in 0.7 µs, not in 4."""

    type: str | None = None
    messageId: str | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    previousId: Any = None  # noqa: N815
    event: str | None = None
    properties: Any = None  # an object or None: msgspec would copy what it is told to be one
    traits: Any = None
    context: Any = None
    integrations: Any = None
    timestamp: Any = None
    originalTimestamp: Any = None  # noqa: N815
    sentAt: Any = None  # noqa: N815


def _tidied(raw: Mapping[str, Any]) -> _Tidy | WireEvent:
    """The fields of the Spec, with numbers taken for ids. Raises InvalidEvent."""
    try:
        tidy = msgspec.convert(raw, _Tidy)
    except msgspec.ValidationError:
        return _mended(raw)
    if type(tidy.properties) in _OBJECT and type(tidy.traits) in _OBJECT and type(tidy.context) in _OBJECT:
        return tidy
    return _mended(raw)


def _mended(raw: Mapping[str, Any]) -> WireEvent:
    try:
        return WireEvent.model_validate(raw)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        path = str(first["loc"][0])
        rule = first["msg"].removeprefix("Input ").replace("valid dictionary", "JSON object").replace("valid ", "")
        raise InvalidEvent(_CODES.get(path, "bad_request"), path, rule) from None


def internal_message_id(message_id: str) -> str:
    """The id an event is known by here: its own, or the digest of one that is too long. Never cut: two could meet."""
    if len(message_id) <= MESSAGE_ID_CHARS:
        return message_id
    return "sha256:" + hashlib.sha256(message_id.encode()).hexdigest()


def _message_id(given: str | None) -> str:
    own = _present(given)
    return str(uuid.uuid4()) if own is None else internal_message_id(own)


def _previous_id(given: object) -> str | None:
    """Numbers become text; what is no id is absent, for of an alias nothing else is lost."""
    match given:
        case str() as text:
            return _present(text)
        case int() as number if not isinstance(number, bool):
            return str(number)
        case _:
            return None


def _present(text: str | None) -> str | None:
    return (text.strip() or None) if text else None


def _overlay(below: dict[str, Any] | None, above: dict[str, Any] | None) -> Mapping[str, Any]:
    """Key by key, `above` over `below`; a null above hides nothing."""
    if not above:
        return below or _NOTHING
    if not below:
        return above
    return below | {key: value for key, value in above.items() if value is not None}
