"""What is planned for a row, how it ended, and the report that is made of it. Pure.

Outcomes are stored as text: those of the gateway's counters, such as `delivered`, `dropped:no_identity`,
`dead:http_400` and `unknown:review`, and some of rows alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from app.counted import DELIVERED, DeadLettered, Dropped, DropReason, Unresolved
from app.rows.codes import Code


class Op(StrEnum):
    """What a run has to do with a row."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "unchanged"
    BAD = "bad"  # it cannot be sent
    GONE = "gone"  # a member whose row is no longer in the source
    KEPT = "kept"  # an earlier run sent it, and its dead letter or review has not ended yet


class RunState(StrEnum):
    """Where a run stands."""

    READING = "reading"
    SENDING = "sending"
    DONE = "done"
    HELD = "held"  # for an operator to approve
    REFUSED = "refused"
    FAILED = "failed"


class Bucket(StrEnum):
    """Every row of a run is in exactly one of these."""

    UNCHANGED = "unchanged"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    DEAD = "dead"
    UNKNOWN = "unknown"
    WAITING = "waiting"


class Outcome:
    """How a row ended, as text."""

    SAME: Final = "unchanged"
    BASELINE: Final = "unchanged:baseline"  # taken over without being sent
    SHARED: Final = "unchanged:shared"  # the row is gone, and another row names the person
    OTHER_CONSENT: Final = "unchanged:other_consent"  # the row states what the mode of its sync does not send
    MISSING_KEY: Final = Dropped.prefix + Code.KEY_MISSING
    DUPLICATE_KEY: Final = Dropped.prefix + Code.KEY_DUPLICATE
    IDENTIFIER_SHARED: Final = Dropped.prefix + Code.IDENTIFIER_SHARED
    OPTED_OUT: Final = Dropped(DropReason.OPTED_OUT).field
    NOT_KNOWN: Final = Dropped.prefix + Code.NOT_KNOWN
    LOST_SIGHT: Final = Unresolved.prefix + Code.LOST_SIGHT
    HAD_IT: Final = Dropped(DropReason.UNCHANGED).field  # Attentive had this content from another source

    OPEN: Final = (DeadLettered.prefix, Unresolved.prefix)  # begin outcomes after which an operator may still send it

    @classmethod
    def is_open(cls, outcome: str) -> bool:
        """Whether the row has a dead letter, or a call in review, that an operator may still send."""
        return outcome.startswith(cls.OPEN)

    @classmethod
    def is_accepted(cls, outcome: str) -> bool:
        """Whether Attentive has the content of the row."""
        return outcome in (DELIVERED, cls.HAD_IT)

    @classmethod
    def bucket(cls, outcome: str) -> Bucket:
        """Where a row with this outcome counts."""
        if outcome == "":
            return Bucket.WAITING
        if outcome == DELIVERED:
            return Bucket.DELIVERED
        if outcome.startswith(cls.SAME) or outcome == cls.HAD_IT:
            return Bucket.UNCHANGED
        for prefix, bucket in _BUCKETS.items():
            if outcome.startswith(prefix):
                return bucket
        return Bucket.UNKNOWN


_BUCKETS: Final[Mapping[str, Bucket]] = {
    Dropped.prefix: Bucket.DROPPED,
    DeadLettered.prefix: Bucket.DEAD,
    Unresolved.prefix: Bucket.UNKNOWN,
}


def code_of(outcome: str) -> str:
    """The reason in an outcome: `no_identity` of `dropped:no_identity`."""
    return outcome.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the rows of a run."""

    read: int
    buckets: Mapping[Bucket, int]
    reasons: Mapping[str, int] = field(default_factory=dict)  # by outcome, of all that were not accepted

    @property
    def balances(self) -> bool:
        """Whether every row is in exactly one bucket."""
        return self.read == sum(self.buckets.values())

    @property
    def waiting(self) -> int:
        """The number of rows that have not ended."""
        return self.buckets[Bucket.WAITING]

    @property
    def rejected(self) -> int:
        """The number of rows that were not accepted."""
        return sum(self.buckets[bucket] for bucket in (Bucket.DROPPED, Bucket.DEAD, Bucket.UNKNOWN))

    def facts(self) -> dict[str, Any]:
        """The report for programs."""
        counts = {bucket.value: number for bucket, number in self.buckets.items()}
        return {"read": self.read, **counts, "reasons": dict(self.reasons)}


def report_of(outcomes: Mapping[str, int]) -> Report:
    """The report of rows, counted by outcome."""
    buckets = dict.fromkeys(Bucket, 0)
    reasons: dict[str, int] = {}
    for outcome, number in sorted(outcomes.items()):
        bucket = Outcome.bucket(outcome)
        buckets[bucket] += number
        if bucket in _BUCKETS.values():
            reasons[outcome] = number
    return Report(sum(outcomes.values()), buckets, reasons)
