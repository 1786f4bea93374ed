"""One Attentive account, and the context of a call with one of its keys."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.sandbox.answers import Answer
from app.sandbox.call import Call
from app.sandbox.config import SandboxConfig
from app.sandbox.keys import ApiKey
from app.sandbox.ledger import Effect
from app.sandbox.people import People
from app.sandbox.repeats import Repeats

if TYPE_CHECKING:
    from app.sandbox.bulk import Job, Segment


@dataclass(slots=True)
class EventType:
    """A custom event type: the app that created it, and the property keys it has been sent with."""

    app: str
    property_keys: set[str] = field(default_factory=set)


@dataclass(slots=True)
class PrivacyRequest:
    """A request to delete a person."""

    id: str
    subject: dict[str, str]  # subjectEmail, subjectPhone, clientUserId, as given
    message: str
    requested_at: float
    processed_at: float | None = None


@dataclass(slots=True)
class Account:
    """All data of one company at Attentive."""

    people: People
    event_types: dict[str, EventType] = field(default_factory=dict)
    attribute_kinds: dict[str, str] = field(default_factory=dict)  # name → "string", "number", "date" or "boolean"
    privacy_requests: dict[str, PrivacyRequest] = field(default_factory=dict)
    segments: dict[str, "Segment"] = field(default_factory=dict)  # by external id
    jobs: dict[str, "Job"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """A call that passed every check on its way to an endpoint."""

    call: Call
    body: dict[str, Any]  # {} for a GET
    key: ApiKey
    account: Account
    config: SandboxConfig
    repeats: Repeats

    @property
    def now(self) -> float:
        """When the call arrived, in Unix seconds."""
        return self.call.arrived_at


Operation = Callable[[Visit], tuple[Answer, Effect]]
