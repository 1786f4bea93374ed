"""One request to Attentive, not yet sent."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar

from app.attentive.endpoints import Endpoint
from app.value import Value


class Priority(IntEnum):
    """The order of calls that wait for one limit. Lower numbers go first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class AttentiveCall(Value, frozen=True, gc=False):
    """A POST of `body` (JSON-ready: no null, no empty identifier) to `endpoint`."""

    personal: ClassVar = frozenset({"body"})

    endpoint: Endpoint
    body: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    dedupe_window_s: int = 0  # a repeated call about the same person within this time is skipped; 0: none is
    verify_first: bool = False  # first ask Attentive whether the call would change anything
