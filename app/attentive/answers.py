"""The answer to a call to Attentive: a complete one, or none. Pure."""

from datetime import timedelta
from typing import ClassVar

from app.value import Value


class Reply(Value, frozen=True, gc=False):
    """Attentive's answer. `body` is the first 64 KiB and may contain personal data: redact it before showing it."""

    personal: ClassVar = frozenset({"body"})

    status: int
    body: bytes = b""
    retry_after: timedelta | None = None
    limit: float | None = None  # x-ratelimit-limit: calls per second that this endpoint allows now
    remaining: float | None = None  # x-ratelimit-remaining
    took: timedelta = timedelta()


class Unreachable(Value, frozen=True, gc=False):
    """No complete answer came. `ambiguous`: the request was sent, so Attentive may have processed it."""

    reason: str
    ambiguous: bool
    took: timedelta = timedelta()
