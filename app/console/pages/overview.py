"""The overview: for each destination, the events received and their endings, as numbers that balance. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

from app.console.web import link
from app.delivery.accounts.token_state import TokenReport, TokenState
from app.delivery.counters import Counters
from app.delivery.hold import HoldStatus
from app.operations.destinations import DestinationStatus, next_try

WIDTH: Final = 1000  # of the bar, in its own units
_LEAST: Final = 3.0  # of a part that is not empty: it can be seen


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which events end, with its reasons."""

    kind: str  # delivered, dropped, dead, unknown or waiting: also its colour
    name: str
    count: int
    href: str
    reasons: Sequence["Reason"] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and how many events it ended."""

    name: str
    count: int
    href: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the bar."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Flow:
    """One destination. received + replayed = the sum of the endings."""

    destination: str
    received: int
    replayed: int
    endings: Sequence[Ending]
    bar: Sequence[Part]
    holds: Sequence["HoldLine"]
    token: str  # ok, bad or unknown
    token_text: str
    calls_waiting: int
    dead_letters: int
    in_review: int
    unchanged: int

    @property
    def total(self) -> int:
        """All that came in."""
        return self.received + self.replayed

    @property
    def balances(self) -> bool:
        """Whether the endings add up to the events received."""
        return sum(ending.count for ending in self.endings) == self.total


@dataclass(frozen=True, slots=True)
class HoldLine:
    """Why calls are not sent, and what to do."""

    endpoint: str  # empty: all endpoints
    reason: str
    next_try: datetime | None
    needs_decision: bool


def flows(statuses: Iterable[DestinationStatus], now: datetime) -> list[Flow]:
    """Every destination, the busiest first."""
    return sorted((_flow(status, now) for status in statuses), key=lambda flow: -flow.total)


def _flow(status: DestinationStatus, now: datetime) -> Flow:
    counters = status.counters
    endings = _endings(counters)
    state, text = token_words(status.token)
    return Flow(
        destination=status.name,
        received=counters.received,
        replayed=counters.replayed,
        endings=endings,
        bar=_bar(endings),
        holds=[hold_line(hold, status.token, now) for hold in status.holds],
        token=state,
        token_text=text,
        calls_waiting=status.calls_waiting,
        dead_letters=status.dead_letters,
        in_review=status.in_review,
        unchanged=counters.unchanged,
    )


def _endings(counters: Counters) -> list[Ending]:
    name = counters.destination
    return [
        Ending("delivered", "Delivered", counters.delivered, link("events", destination=name, outcome="delivered")),
        Ending("waiting", "Waiting", counters.waiting, link("lanes", destination=name)),
        _by_reason(name, "dropped", "Dropped", counters.dropped),
        _by_reason(name, "dead", "Dead-lettered", counters.dead),
        _by_reason(name, "unknown", "Unresolved", counters.unknown),
    ]


def _by_reason(destination: str, kind: str, title: str, reasons: Mapping[str, int]) -> Ending:
    def address(reason: str | None) -> str:
        match kind:
            case "dead":
                return link("dead-letters", destination=destination, reason=reason)
            case "unknown":
                return link("unknown-outcomes", destination=destination)
            case _:
                return link("events", destination=destination, outcome="dropped", reason=reason)

    found = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    lines = [Reason(reason.replace("_", " "), count, address(reason)) for reason, count in found if count]
    return Ending(kind, title, sum(reasons.values()), address(None), lines)


def _bar(endings: Sequence[Ending]) -> list[Part]:
    """The endings side by side. Each that is not empty has a width that can be seen."""
    shown = [ending for ending in endings if ending.count > 0]
    total = sum(ending.count for ending in shown)
    if not total:
        return []
    widths = [max(_LEAST, WIDTH * ending.count / total) for ending in shown]
    scale = WIDTH / sum(widths)
    starts = [0.0, *accumulate(width * scale for width in widths)]
    return [
        Part(ending.kind, round(x, 1), round(width * scale, 1), f"{ending.name}: {ending.count:,}")
        for ending, x, width in zip(shown, starts, widths, strict=False)
    ]


def token_words(token: TokenReport | None) -> tuple[str, str]:
    """The state of a token, and the state in words."""
    if token is None:
        return "unknown", "not asked yet"
    state = {TokenState.WORKS: "ok", TokenState.REFUSED: "bad"}.get(token.state, "unknown")
    words = {"ok": "works", "bad": "is refused"}.get(state, "gave no clear answer")
    return state, f"{words} ({token.answer})"


def hold_line(hold: HoldStatus, token: TokenReport | None, now: datetime) -> HoldLine:
    """One hold."""
    return HoldLine(hold.endpoint or "", hold.reason, next_try(hold, token, now), hold.needs_decision)
