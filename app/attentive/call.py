"""One request to Attentive, not yet sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from app.attentive.endpoints import Endpoint


class Priority(IntEnum):
    """Who goes first when calls wait for the same limit. Lower numbers go first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class AttentiveCall:
    """A POST of `body` (JSON-ready: no null, no empty identifier) to `endpoint`."""

    endpoint: Endpoint
    body: Mapping[str, Any] = field(repr=False)
    priority: Priority = Priority.NORMAL
