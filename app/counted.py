"""Every ending, reason and counter as a type, with the counter field in Redis that it increments. Pure.

An event ends as delivered, dropped, dead-lettered or unresolved. Scripts receive the fields as arguments, so each field
is spelled here and nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Literal

RECEIVED: Final = "received"  # events accepted, including repeats
REPLAYED: Final = "replayed"  # dead letters sent again: each counts as received once more
DELIVERED: Final = "delivered"  # events whose calls were all accepted
LONG_URL: Final = "long_urls"  # calls with a URL longer than Attentive shortens
UNCHANGED: Final = "unchanged"  # calls skipped because Attentive already has their content


class DropReason(StrEnum):
    """Why an event is dropped on purpose. Counters, metrics and journal use these names."""

    NO_IDENTITY = "no_identity"  # the global filter: neither traits.email, traits.phone nor userId
    UNUSABLE_IDENTITY = "unusable_identity"  # the event has identifiers, but none of them can be sent
    NO_PRIMARY_IDENTIFIER = "no_primary_identifier"  # the account requires an e-mail address or phone number
    NOT_FORWARDED = "not_forwarded"  # no rule for this type of call
    EVENT_NOT_ALLOWED = "event_not_allowed"  # a custom event that the settings do not let through
    NO_CONTENT = "no_content"  # an identify call with one identifier and no traits
    UNCHANGED = "unchanged"  # Attentive already has the content of every call
    MERGE_BLOCKED = "merge_blocked"  # an identity link that would merge two people, and the settings block such links
    INTEGRATIONS = "integrations"  # the sender excluded Attentive in `integrations`
    PRIVACY = "privacy"  # it contains what the settings allow in no event
    ERASURE = "erasure"  # it asks for the erasure of a person, and has become that request
    ERASURE_NOT_ALLOWED = "erasure_not_allowed"  # it asks for an erasure, which its source may not request
    ERASED = "erased"  # its last open call was removed by an erasure
    ACCOUNT_CHANGED = "account_changed"  # it was queued for another Attentive account, and an operator discarded it
    NOT_DELIVERED = "not_delivered"  # its destination delivers to no one, or to test people only
    OPTED_OUT = "opted_out"  # an opt-in of a person who has opted out: of a row at any time, of an event since then
    DUPLICATE = "duplicate"  # an event with this message ID was received before


class DeadReason(StrEnum):
    """Why an event or a call became a dead letter. `http_reason` adds those for Attentive's statuses."""

    UNMAPPABLE = "unmappable"  # the event lacks a value that its rule requires
    TOO_LARGE = "too_large"  # a call larger than Attentive accepts
    TIME_UNREADABLE = "time_unreadable"  # the event states a time that cannot be read, and may be old
    TOO_OLD = "too_old"  # the event happened too long ago
    EXPIRED = "expired"  # no success before the deadline of the call
    INTERNAL_ERROR = "internal_error"  # a bug of this gateway
    UNKNOWN_OUTCOME = "unknown_outcome"  # it is unknown whether Attentive processed the call, and it waits for a review
    UNREADABLE = "unreadable"  # stored bytes that no version of this gateway wrote, or that are damaged


def http_reason(status: int) -> str:
    """The reason of a call that Attentive refused with this status."""
    return f"http_{status}"


class Resolution(StrEnum):
    """What became of a call of unknown outcome that is not sent again."""

    REVIEW = "review"  # an operator decides
    GIVEN_UP = "given_up"


class Counted:
    """Something that is counted. Its counter field in Redis is its kind's prefix and its values, joined by colons."""

    __slots__ = ()
    prefix: ClassVar[str]

    @property
    def field(self) -> str:
        """Its counter field."""
        stated: Iterable[str] = self.__slots__
        return self.prefix + ":".join(getattr(self, name) for name in stated)


@dataclass(frozen=True, slots=True)
class Dropped(Counted):
    """An event that was dropped on purpose."""

    prefix: ClassVar = "dropped:"
    reason: DropReason


@dataclass(frozen=True, slots=True)
class DeadLettered(Counted):
    """An event that ended as a dead letter."""

    prefix: ClassVar = "dead:"
    reason: str  # of DeadReason, or from http_reason


@dataclass(frozen=True, slots=True)
class Unresolved(Counted):
    """An event that ended with a call of unknown outcome."""

    prefix: ClassVar = "unknown:"
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class UnknownCall(Counted):
    """A call of unknown outcome, and what followed: a policy of unknown.py, or SENT_BY_HAND."""

    prefix: ClassVar = "unknown_calls:"
    endpoint: str
    then: str


@dataclass(frozen=True, slots=True)
class Merge(Counted):
    """An identify call that names identifiers of two known people."""

    prefix: ClassVar = "merge:"
    verdict: Literal["send", "block", "shared"]  # shared: blocked, because too many people share an identifier
    source: str


@dataclass(frozen=True, slots=True)
class LeftOut(Counted):
    """A custom attribute's value that was left out: of the wrong type, refused, or (None) one name too many."""

    prefix: ClassVar = "left_out:"
    attribute: str | None
    reason: Literal["type", "refused"] = "type"

    @property
    def field(self) -> str:
        """Its counter field."""
        return self.prefix + ("names" if self.attribute is None else f"{self.reason}:{self.attribute}")


@dataclass(frozen=True, slots=True)
class MissedJourney(Counted):
    """A call that Attentive accepted too late to start a journey: its event arrived late, or it waited too long."""

    prefix: ClassVar = "missed:"
    cause: Literal["arrived", "waited"]


@dataclass(frozen=True, slots=True)
class LargeCall(Counted):
    """A call that was sent although it is larger than is safe."""

    prefix: ClassVar = "large:"
    endpoint: str


@dataclass(frozen=True, slots=True)
class Evicted(Counted):
    """A dead letter, or a call in review, that was deleted for its age or its source's share."""

    prefix: ClassVar = "evicted:"
    queue: str
    why: Literal["age", "share"]
    source: str = ""  # "": the prefix to which scripts append the source


@dataclass(frozen=True, slots=True)
class JournalTrim(Counted):
    """Entries of the journal that were deleted for its bytes, by the source that filled it."""

    prefix: ClassVar = "journal_trimmed:"
    source: str


@dataclass(frozen=True, slots=True)
class ErasureCount(Counted):
    """An erasure that was begun, or that has ended: "begun", "done", "incomplete"."""

    prefix: ClassVar = "erasures:"
    state: str
