"""What a call waited for before an attempt: the limit, a hold, its retry, or us. Pure. All times are epoch ms."""

from typing import Final

from app.delivery.delivery import Delivery
from app.value import Value


class LaneWaits(Value, frozen=True, gc=False):
    """What keeps the calls of a lane waiting, or did so last. 0: nothing did."""

    limited_since_ms: int = 0  # since when it waits for its limit
    held_from_ms: int = 0  # the last hold: when the lane was first found held,
    held_until_ms: int = 0  # and when that ended


NO_WAITS: Final = LaneWaits()


class Waits(Value, frozen=True, gc=False):
    """The time before an attempt by what it was spent on, in ms: since the receipt, or since the attempt before."""

    retry_ms: int = 0  # until the retry was due
    hold_ms: int = 0
    limit_ms: int = 0  # Attentive's limit, or calls_per_second; calls of a higher priority use it first
    own_ms: int = 0  # no worker, busy workers, a slow Redis

    @property
    def total_ms(self) -> int:
        """All of it."""
        return self.retry_ms + self.hold_ms + self.limit_ms + self.own_ms

    def by_cause(self) -> dict[str, int]:
        """The causes that took time, each with its ms."""
        named = {"retry": self.retry_ms, "hold": self.hold_ms, "limit": self.limit_ms, "own": self.own_ms}
        return {cause: waited_ms for cause, waited_ms in named.items() if waited_ms > 0}


def waits_before(delivery: Delivery, sent_ms: int, lane: LaneWaits) -> Waits:
    """What a delivery that is sent now waited for."""
    began = delivery.failed_ms or delivery.received_ms
    ready = min(max(began, delivery.due_ms), sent_ms)
    held_from, held_until = max(ready, lane.held_from_ms), min(sent_ms, lane.held_until_ms)
    hold_ms = max(0, held_until - held_from)
    # A lane that is held claims nothing, and so does not wait for its limit.
    limited_from = max(ready, lane.limited_since_ms, lane.held_until_ms if hold_ms else 0)
    limit_ms = max(0, sent_ms - limited_from) if lane.limited_since_ms else 0
    waited_ms = max(0, sent_ms - ready)
    return Waits(max(0, ready - began), hold_ms, limit_ms, waited_ms - hold_ms - limit_ms)
