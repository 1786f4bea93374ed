"""Every Redis key, spelled once. All keys of a destination share its hash tag, so one script may touch them all."""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "workers"  # the consumer group of every lane stream
SAID_LIFE_S: Final = 30 * 86_400  # after this, the same is said once more
STREAMS: Final = ("high", "normal", "low", "stale")  # of every lane, in the order in which they are read
CONSUMER: Final = "drain"  # one name for all: a lane has one drain at a time, and the next one inherits what is pending
SEEN_BUCKET_S: Final = 8 * 3600
SEEN_BUCKETS: Final = 4  # this one and three before it: a message id is remembered for 24 to 32 hours


@dataclass(frozen=True, slots=True)
class DestinationKeys:
    """The keys that a destination's lanes share."""

    destination: str

    @property
    def prefix(self) -> str:
        """The hash tag that keeps these keys on one Redis node."""
        return f"{{{self.destination}}}"

    def seen(self, now_s: float) -> list[str]:
        """Sets of event keys, the current one first."""
        bucket = int(now_s // SEEN_BUCKET_S)
        return [f"{self.prefix}:seen:{bucket - age}" for age in range(SEEN_BUCKETS)]

    @property
    def journal(self) -> str:
        """Stream: what happened to recent events, masked."""
        return f"{self.prefix}:journal"

    @property
    def dead(self) -> str:
        """Stream: dead letters."""
        return f"{self.prefix}:dead"

    @property
    def unknown(self) -> str:
        """Stream: calls of unknown outcome that are held for review, in the form of dead letters."""
        return f"{self.prefix}:unknown"

    @property
    def books(self) -> str:
        """Hash: how many events were received, and how they ended."""
        return f"{self.prefix}:books"

    @property
    def parts(self) -> str:
        """Hash: calls still open of events that became several calls."""
        return f"{self.prefix}:parts"

    @property
    def attributes(self) -> str:
        """Hash: the account's custom attributes, name → type."""
        return f"{self.prefix}:attributes"

    @property
    def deletions(self) -> str:
        """Stream: requests to forget somebody that nobody has begun."""
        return f"{self.prefix}:deletions"

    @property
    def deletions_due(self) -> str:
        """Sorted set: ids of deletions that are not at their end, scored by when their next step is due (epoch ms)."""
        return f"{self.prefix}:deletions:due"

    @property
    def deletions_lock(self) -> str:
        """Held by the worker that is at the destination's deletions."""
        return f"{self.prefix}:deletions:lock"

    @property
    def receipts(self) -> str:
        """Sorted set: ids of all deletions, scored by when they were begun (epoch ms)."""
        return f"{self.prefix}:receipts"

    def deletion(self, deletion_id: str) -> str:
        """Hash: one deletion, and when it is at its end its receipt."""
        return f"{self.prefix}:deletion:{deletion_id}"

    def said(self, person: str) -> str:
        """What was last said about a person to one endpoint: `p` and a digest while it waits, `d` once accepted."""
        return f"{self.prefix}:said:{person}"

    def memory(self, name: str) -> str:
        """JSON: what is known of a person under one id of one source, see scripts/memory.lua."""
        return f"{self.prefix}:memory:{name}"

    def contact(self, digest: str) -> str:
        """Sorted set: the names of memory's records that hold this e-mail address or phone number."""
        return f"{self.prefix}:contact:{digest}"

    def people(self, source: str, life_s: int, now_s: float) -> list[str]:
        """HyperLogLogs of the names that memory knows, by quarters of their life; the current one first."""
        quarter = int(now_s * 4 // life_s)
        return [f"{self.prefix}:people:{source}:{quarter - age}" for age in range(5)]

    @property
    def ceiling(self) -> str:
        """Hash: the token bucket that all lanes share, where the settings give the account a ceiling."""
        return f"{self.prefix}:ceiling"

    @property
    def hold(self) -> str:
        """Exists while nothing may be sent to this destination; its value is the reason."""
        return f"{self.prefix}:hold"


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """The keys of one lane: a destination and an endpoint."""

    destination: DestinationKeys
    endpoint: str

    @property
    def prefix(self) -> str:
        """Starts every key of the lane."""
        return f"{self.destination.prefix}:lane:{self.endpoint}"

    @property
    def streams(self) -> list[str]:
        """The backlog: what is fresh by priority, and then what has gone stale."""
        return [f"{self.prefix}:{name}" for name in STREAMS]

    @property
    def retry(self) -> str:
        """Sorted set: deliveries waiting for another attempt, scored by when (epoch ms); first byte: their stream."""
        return f"{self.prefix}:retry"

    @property
    def pace(self) -> str:
        """Hash: the token bucket."""
        return f"{self.prefix}:pace"

    @property
    def hold(self) -> str:
        """Exists while nothing may be sent to this endpoint."""
        return f"{self.prefix}:hold"

    @property
    def lease(self) -> str:
        """The drain that owns this lane now; it expires when that drain's worker dies."""
        return f"{self.prefix}:lease"

    @property
    def turn(self) -> str:
        """Counts the drains this lane has had: part of the next one's job id."""
        return f"{self.prefix}:turn"
