"""One Segment event: its wire format, the rules it must satisfy, and the frozen form used from there on.

Source: Segment's Spec (common fields) and the validation codes of its HTTP API.
"""

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.segment.placeholders import is_placeholder
from app.value import Value

MESSAGE_ID_CHARS: Final = 100
EVENT_TYPES: Final = frozenset({"track", "identify", "page", "screen", "group", "alias", "delete"})
_NOTHING: Final[Mapping[str, Any]] = {}
NUMBERS: Final = frozenset({int, float})  # JSON numbers: bool is not one
_OBJECT: Final = frozenset({dict, type(None)})
_EXACT: Final = 2**53  # from here on, a float stands for more than one whole number
_WHOLE_NUMBER: Final = re.compile(r"(\d+)\.0+", re.ASCII)
_LARGEST: Final = 10**100  # no identifier has more digits
INEXACT: Final = "a number that has lost digits, left out"
_PLACEHOLDER: Final = "a placeholder, not an ID, left out"
_LEAST_DIGITS: Final = 7  # of a phone number
_NUMBER_CHARS: Final = 60  # of a phone number, with everything that may surround it
_ANOTHER: Final = "of another person than the traits of the call, left out"


def to_text(value: object) -> str | None:
    """A value of an event as text, without surrounding blanks. None if it is blank, or neither text nor number.

    A number becomes its digits. A whole number has no fraction, whatever type a sender's database gave it: 12345.0 is
    "12345". None for a number that has lost digits: two different IDs may have become one.
    """
    if type(value) is str:
        return value.strip() or None
    if type(value) is float:
        if value != value or abs(value) >= _EXACT:  # NaN, infinity, or lost digits
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if type(value) is int and abs(value) < _LARGEST else None


def without_fraction(text: str) -> str:
    """An ID that a program took for a quantity as it was before: "12345.0" is "12345". Any other text as it is."""
    whole = _WHOLE_NUMBER.fullmatch(text) if "." in text else None
    return whole[1] if whole else text


def _number_to_text(value: object) -> object:
    """A number as its digits, for pydantic. Other values stay as they are."""
    return to_text(value) if type(value) in NUMBERS else value


def _object_of_php(value: object) -> object:
    """An empty list as an empty object: PHP writes an empty array for both."""
    return {} if value == [] else value


UsableId = Callable[[str], str | None]  # see usable_id
Id = Annotated[str | None, BeforeValidator(_number_to_text)]
Object = Annotated[dict[str, Any] | None, BeforeValidator(_object_of_php)]


class WireEvent(BaseModel):
    """An event as trackers send it. `null` means absent, numbers are accepted as IDs, unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str | None = Field(None, description="track, identify or page; the path supplies it on single-event routes")
    messageId: Id = Field(None, description="the tracker's ID of this event; a repeat within 24 h is dropped")  # noqa: N815
    userId: Id = Field(None, description="the shop's own ID of the person")  # noqa: N815
    anonymousId: Id = Field(None, description="the tracker's ID of the browser; never sent to Attentive")  # noqa: N815
    previousId: Any = Field(None, description="the person's previous ID (alias)")  # noqa: N815
    event: Id = Field(None, description="the event's name; required for track")
    properties: Object = Field(None, description="what happened (track, page)")
    traits: Object = Field(None, description="attributes of the person (identify)")
    context: Object = Field(None, description="the context of the event; its `traits` describe the person")
    integrations: Any = Field(None, description="routing by destination name")
    timestamp: Any = Field(None, description="when it happened: ISO 8601, RFC 2822 or epoch (s, ms, µs, ns)")
    originalTimestamp: Any = Field(None, description="the tracker's own clock at that moment")  # noqa: N815
    sentAt: Any = Field(None, description="the tracker's time when it sent the request")  # noqa: N815


class SegmentEvent(Value, frozen=True, gc=False):
    """One valid event. Containers are never None. IDs are None if absent or blank."""

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
    raw: Mapping[str, Any] = msgspec.field(default_factory=dict)  # the whole event as received; never changed
    previous_id: str | None = None  # of an alias: the person's previous ID
    left_out: tuple[tuple[str, str], ...] = ()  # fields with unusable IDs, each with the reason

    def whole(self) -> dict[str, Any]:
        """The event as one object, for lookups by path: as received, with the IDs and traits above.

        Without `anonymousId`, which is never sent.
        """
        known = {"type": self.type, "event": self.name, "userId": self.user_id, "messageId": self.message_id}
        return {**self.raw, **known, "properties": self.properties, "traits": self.traits, "anonymousId": None}


class InvalidEvent(Exception):  # noqa: N818 - it names the event, the way HTTP names the answer
    """An event that breaks a rule of the Spec. `code` is Segment's, `field` the dotted path to correct."""

    def __init__(self, code: str, field: str, rule: str) -> None:
        """`field` breaks `rule`."""
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
    """Whether an event without any tracker ID identifies its person by itself."""
    return bool(event.traits.get("email") or event.traits.get("phone"))


def usable_id(text: str, placeholders: frozenset[str] = frozenset()) -> str | None:
    """An ID as it counts. Empty for blank text, None for a placeholder.

    `placeholders` are additional texts that are not IDs, as `placeholder_word` returns them.
    """
    text = text.strip()
    if text and is_placeholder(text, placeholders):
        return None
    return without_fraction(text) if text[-1:] == "0" else text


def parse_event(
    raw: object,
    names_person: Callable[[SegmentEvent], bool] = names_by_traits,
    usable: UsableId = usable_id,
) -> SegmentEvent:
    """Check one decoded JSON value against the Spec. Raises InvalidEvent.

    `names_person` is called for an event that has neither `userId` nor `anonymousId`. `usable` reads each ID in place
    of `usable_id`.
    """
    if not isinstance(raw, dict):
        raise InvalidEvent("bad_request", "event", "must be a JSON object")
    wire = _tidied(raw)
    kind = wire.type or raw.get("action")  # `action`: the name of the field in version 1 of the Spec
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise InvalidEvent("bad_request", "type", f"must be one of {', '.join(sorted(EVENT_TYPES))}")
    name = _present(wire.event)
    if kind == "track" and name is None:
        raise InvalidEvent("event_not_defined", "event", "must be a non-empty string on a track call")
    context_traits = wire.context.get("traits") if wire.context else None
    if type(context_traits) is not dict and context_traits is not None and context_traits != []:
        raise InvalidEvent("traits_not_object", "context.traits", "must be a JSON object")
    left_out: list[tuple[str, str]] = []
    own_traits = wire.traits if kind != "group" else None
    if context_traits and own_traits and _contradict(context_traits, own_traits):
        left_out.append(("context.traits", _ANOTHER))
        context_traits = None
    user_id = _id(raw, "userId", wire.userId, usable, left_out)
    anonymous_id = _id(raw, "anonymousId", wire.anonymousId, usable, left_out)
    previous_id = None
    if kind == "alias":
        previous_id = _id(raw, "previousId", to_text(wire.previousId), usable, left_out)
    event = SegmentEvent(
        type=kind,
        message_id=_message_id(wire.messageId, left_out),
        user_id=user_id,
        anonymous_id=anonymous_id,
        name=name,
        properties=wire.properties or _NOTHING,
        traits=_overlay(context_traits or None, own_traits),
        timestamp=wire.timestamp,
        original_timestamp=wire.originalTimestamp,
        sent_at=wire.sentAt,
        integrations=wire.integrations,
        raw=raw,
        previous_id=previous_id,
        left_out=tuple(left_out),
    )
    if user_id is None and anonymous_id is None and not _gives_id(left_out) and not names_person(event):
        raise InvalidEvent("id_required", "userId", "userId or anonymousId must be present and not blank")
    return event


class _Tidy(msgspec.Struct, gc=False):
    """A WireEvent whose fields all have their own type, as in nearly all events: checked in 0.7 µs instead of 4."""

    type: str | None = None
    messageId: str | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    previousId: Any = None  # noqa: N815
    event: str | None = None
    properties: Any = None  # an object or None: with a declared type, msgspec would copy it
    traits: Any = None
    context: Any = None
    integrations: Any = None
    timestamp: Any = None
    originalTimestamp: Any = None  # noqa: N815
    sentAt: Any = None  # noqa: N815


def _tidied(raw: Mapping[str, Any]) -> _Tidy | WireEvent:
    """The fields of the Spec, with numbers accepted as IDs. Raises InvalidEvent."""
    try:
        tidy = msgspec.convert(raw, _Tidy)
    except msgspec.ValidationError:
        return _coerced(raw)
    if type(tidy.properties) in _OBJECT and type(tidy.traits) in _OBJECT and type(tidy.context) in _OBJECT:
        return tidy
    return _coerced(raw)


def _coerced(raw: Mapping[str, Any]) -> WireEvent:
    try:
        return WireEvent.model_validate(raw)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        path = str(first["loc"][0])
        rule = first["msg"].removeprefix("Input ").replace("valid dictionary", "JSON object").replace("valid ", "")
        raise InvalidEvent(_CODES.get(path, "bad_request"), path, rule) from None


_PHONE_IN_ID: Final = re.compile(r"\+[\d ().-]{0,4}\d(?:[ ().-]{0,2}\d){6}")


def internal_message_id(message_id: str) -> str:
    """The ID of an event inside the gateway: its own, or a digest. Never truncated: two could become equal.

    An ID that is too long, or contains an e-mail address or international phone number, is replaced by its digest: the
    journal, logs and commands show message IDs unmasked.
    """
    if len(message_id) <= MESSAGE_ID_CHARS and "@" not in message_id and not _PHONE_IN_ID.search(message_id):
        return message_id
    return "sha256:" + hashlib.sha256(message_id.encode()).hexdigest()


def _message_id(given: str | None, left_out: list[tuple[str, str]]) -> str:
    """The message ID. Never a placeholder such as "undefined", which would make later events repeats. Numbers count."""
    own = given.strip() if given else ""
    if own and not own.isdecimal() and is_placeholder(own):
        left_out.append(("messageId", _PLACEHOLDER))
        own = ""
    if not own:
        return str(uuid.uuid4())
    if len(own) <= MESSAGE_ID_CHARS and "@" not in own and "+" not in own:  # nearly all
        return own
    return internal_message_id(own)


def _gives_id(left_out: list[tuple[str, str]]) -> bool:
    """Whether the person's ID was given but is unusable. Such an event is dropped, not refused."""
    return any(field in ("userId", "anonymousId", "previousId") for field, _ in left_out)


def _id(
    raw: Mapping[str, Any], field: str, text: str | None, usable: UsableId, left_out: list[tuple[str, str]]
) -> str | None:
    """An ID. None if `text` is not one; an unusable ID that was sent is appended to `left_out`."""
    own = usable(text) if text else ""
    if own:
        return own
    if own is None:
        left_out.append((field, _PLACEHOLDER))
    elif type(raw.get(field)) in NUMBERS:
        left_out.append((field, INEXACT))
    return None


def _contradict(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether two sets of traits are about different people: trackers keep those of the previous user.

    They are if they state different e-mail addresses, or different phone numbers where not both state an address.
    """
    first, second = below.get("email"), above.get("email")
    if isinstance(first, str) and isinstance(second, str) and "@" in first and "@" in second:
        return first != second and first.strip().lower() != second.strip().lower()
    first, second = below.get("phone"), above.get("phone")
    return first != second and _are_two_numbers(first, second)


def _are_two_numbers(*phones: Any) -> bool:
    """Whether both are phone numbers, and neither is the other one in international form."""
    first, second = map(_digits, phones)
    both = min(len(first), len(second)) >= _LEAST_DIGITS
    return both and not first.endswith(second) and not second.endswith(first)


def _digits(phone: Any) -> str:
    """The digits of a phone number, without the zeros in front. "" for what cannot be one."""
    text = to_text(phone) or ""
    if len(text) > _NUMBER_CHARS:
        return ""
    return "".join(filter(str.isdecimal, without_fraction(text))).lstrip("0")


def _present(text: str | None) -> str | None:
    return (text.strip() or None) if text else None


def _overlay(below: dict[str, Any] | None, above: dict[str, Any] | None) -> Mapping[str, Any]:
    """Merge key by key. `above` wins, except where it is null."""
    if not above:
        return below or _NOTHING
    if not below:
        return above
    return below | {key: value for key, value in above.items() if value is not None}
