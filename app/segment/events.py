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
_TEXT: Final = frozenset({str, type(None)})
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


def names_by_traits(event: SegmentEvent) -> bool:
    """Whether an event without any id of the tracker's says itself whom it is about."""
    return bool(event.traits.get("email") or event.traits.get("phone"))


def parse_event(raw: object, names_somebody: Callable[[SegmentEvent], bool] = names_by_traits) -> SegmentEvent:
    """Check one decoded JSON value against the Spec. Raises InvalidEvent.

    `names_somebody` is asked of an event that has neither `userId` nor `anonymousId`.
    """
    if not isinstance(raw, dict):
        raise InvalidEvent("bad_request", "event", "must be a JSON object")
    wire = raw if _is_tidy(raw) else _tidied(raw)
    kind = wire.get("type") or raw.get("action")  # `action`: the name of the field in version 1 of the Spec
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise InvalidEvent("bad_request", "type", f"must be one of {', '.join(sorted(EVENT_TYPES))}")
    user_id, anonymous_id = _present(wire.get("userId")), _present(wire.get("anonymousId"))
    name = _present(wire.get("event"))
    if kind == "track" and name is None:
        raise InvalidEvent("event_not_defined", "event", "must be a non-empty string on a track call")
    context = wire.get("context")
    context_traits = context.get("traits") if context else None
    if context_traits is not None and not isinstance(context_traits, dict):
        raise InvalidEvent("traits_not_object", "context.traits", "must be a JSON object")
    traits = _overlay(context_traits, wire.get("traits") if kind != "group" else None)
    event = SegmentEvent(
        type=kind,
        message_id=_message_id(wire.get("messageId")),
        user_id=user_id,
        anonymous_id=anonymous_id,
        name=name,
        properties=wire.get("properties") or _NOTHING,
        traits=traits,
        timestamp=wire.get("timestamp"),
        original_timestamp=wire.get("originalTimestamp"),
        sent_at=wire.get("sentAt"),
        integrations=wire.get("integrations"),
        raw=raw,
        previous_id=_previous_id(wire) if kind == "alias" else None,
    )
    if user_id is None and anonymous_id is None and not names_somebody(event):
        raise InvalidEvent("id_required", "userId", "userId or anonymousId must be present and not blank")
    return event


def _is_tidy(raw: Mapping[str, Any]) -> bool:
    """Whether every field has its own type already, as in nearly all events: told in 0.5 µs, where tidying takes 3."""
    get = raw.get
    return (
        type(get("type")) in _TEXT
        and type(get("messageId")) in _TEXT
        and type(get("userId")) in _TEXT
        and type(get("anonymousId")) in _TEXT
        and type(get("event")) in _TEXT
        and type(get("properties")) in _OBJECT
        and type(get("traits")) in _OBJECT
        and type(get("context")) in _OBJECT
    )


def _tidied(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of the Spec with numbers taken for ids. Raises InvalidEvent."""
    try:
        return vars(WireEvent.model_validate(raw))
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


def _previous_id(wire: Mapping[str, Any]) -> str | None:
    """Numbers become text; what is no id is absent, for of an alias nothing else is lost."""
    match wire.get("previousId"):
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
