"""One request to Attentive, not yet sent."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar

from app.attentive.endpoints import Endpoint
from app.value import Value


class Priority(IntEnum):
    """Who goes first when calls wait for the same limit. Lower numbers go first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class AttentiveCall(Value, frozen=True, gc=False):
    """A POST of `body` (JSON-ready: no null, no empty identifier) to `endpoint`."""

    personal: ClassVar = frozenset({"body"})

    endpoint: Endpoint
    body: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    once_in_s: int = 0  # the same said again about the same person within this time is left out; 0: nothing is
    ask_first: bool = False  # Attentive is asked whether it is so already, and the call is sent only if it is not
