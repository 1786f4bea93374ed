"""One recorded attempt at one call: the request, the answer and what followed, masked. Pure.

Failed calls are always recorded, others while a person watches or by a share. The stored form is JSON packed with
LZ4. It holds no token, and personal data only as the journal does: masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import lz4.block
import orjson

from app.delivery.delivery import DAMAGE, decompressed, from_ms

VERSION: Final = 1
_DAMAGE: Final = (*DAMAGE, TypeError, KeyError, AttributeError, OverflowError, OSError)


class Because(StrEnum):
    """Why a call was recorded."""

    FAILED = "failed"  # it was not delivered by this attempt
    WATCHED = "watched"  # it matched the filter of a person who watched
    SAMPLED = "sampled"  # it is of the share that GATEWAY_RECORD_SHARE sets


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One attempt: what was sent to Attentive and what came back. It holds no unmasked personal data."""

    at: datetime  # when it was settled, UTC
    destination: str
    source: str
    message_id: str
    event: str  # the event's name, or its type if it has no name
    endpoint: str
    method: str
    path: str  # "/v1/events/ecommerce/purchase"
    attempt: int
    outcome: str  # a RowOutcome: delivered, retry, held, unknown, dead_letter
    reason: str  # why it was not delivered: "HTTP 503", "no answer in time"
    because: Because
    received_at: datetime  # when the event came in, UTC
    took_ms: float
    status: int | None = None  # None: no complete answer came
    unreachable: str = ""  # why no complete answer came
    limit: float | None = None  # x-ratelimit-limit of the answer, in calls per second
    remaining: float | None = None  # x-ratelimit-remaining of the answer
    retry_after_s: float | None = None
    request: Any = None  # the JSON body, masked
    answer: str = ""  # the body of the answer, masked and truncated
    answer_bytes: int = 0  # its full size, as far as it was read
    original: Any = None  # the event, masked
    hashes: tuple[int, ...] = field(default=(), repr=False)  # of identifiers, see search_hashes.py
    id: str = field(default="", compare=False)  # once stored: the ID of its journal row

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times in ISO 8601, unknown fields left out."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "hashes"}
        facts |= {"at": self.at.isoformat(), "received_at": self.received_at.isoformat()}
        return {name: value for name, value in facts.items() if value not in (None, "")}


def pack(facts: Mapping[str, Any]) -> bytes:
    """The stored form of a recorded call: fields of RecordedCall, times in epoch ms."""
    packed: bytes = lz4.block.compress(orjson.dumps({"v": VERSION, **facts}))
    return packed


def unpack(stored: bytes, *, destination: str, entry_id: str) -> RecordedCall | None:
    """A stored call. None for bytes that no version up to this one has written."""
    try:
        facts: dict[str, Any] = orjson.loads(decompressed(stored))
        if facts.pop("v") != VERSION:
            return None
        facts |= {
            "at": from_ms(int(entry_id.partition("-")[0])),
            "received_at": from_ms(facts["received_at"]),
            "because": Because(facts["because"]),
            "hashes": tuple(facts["hashes"]),
        }
        return RecordedCall(**facts, destination=destination, id=entry_id)
    except _DAMAGE:
        return None
