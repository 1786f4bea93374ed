"""What a simulation means for an operator, in sentences: what waits, what is lost, what it takes, what helps. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.attentive.call import Priority
from app.delivery.pace import SHARE
from app.simulation.course import Course, LaneCourse
from app.simulation.figures import WAITING_CALL_BYTES
from app.simulation.sizing import gateways_for, maxmemory, redis_load, shards_for

_DAY_S: Final = 86_400
_LONG_S: Final = 60.0  # waits that are worth a sentence
_REFUSED: Final = {
    "backlog_full": "429, because the backlog of the account is full",
    "source_backlog_full": "429, because the backlog of their source is full",
    "redis_full": "503, because Redis is nearly full",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """Sentences, the most important first."""

    what_happens: tuple[str, ...]
    what_it_takes: tuple[str, ...]
    what_would_help: tuple[str, ...]
    is_bad: bool  # journeys are missed, calls expire or still wait, or events are refused


def findings_of(course: Course, begins_s: float, unlimited: Course | None = None) -> Findings:
    """What to tell about a course that begins at this time of day. `unlimited` is the same without refusals."""
    return Findings(
        tuple(_what_happens(course, begins_s)),
        tuple(_what_it_takes(course, begins_s)),
        tuple(_what_would_help(course, unlimited)),
        bool(course.missed or course.expired or course.waiting or course.refused.total()),
    )


def _what_happens(course: Course, begins_s: float) -> Iterator[str]:
    yield from _waits(course, begins_s)
    yield from _urgent(course)
    all_calls = course.delivered
    if course.missed:
        hours = course.scenario.capacity.fresh_s / 3600
        yield (
            f"{course.missed:,} calls ({percent(course.missed, all_calls)}) reach Attentive more than {hours:g} h "
            "after their event, and start no journey."
        )
    else:
        yield "No journey is missed."
    if course.expired:
        hours = course.scenario.capacity.horizon_s / 3600
        yield f"{course.expired:,} calls are not sent within {hours:g} h and become dead letters (`expired`)."
    for reason, events in course.refused.items():
        yield (
            f"The intake answers {events:,} events ({percent(events, course.events)}) with "
            f"{_REFUSED.get(reason, reason)}. Trackers send them again later, which is not simulated."
        )
    if course.waiting:
        yield f"{course.waiting:,} calls still wait at the end."


def _waits(course: Course, begins_s: float) -> Iterator[str]:
    lane = course.worst
    waits = lane.waits() if lane else None
    if lane is None or waits is None:
        yield "Nothing waits: each lane sends faster than its calls come in."
        return
    end = f"It is empty at {clock(begins_s + lane.drained_s)}." if lane.drained_s else "It does not become empty."
    yield (
        f"{lane.endpoint} waits longest: its backlog grows to {lane.peak.value:,.0f} calls at "
        f"{clock(begins_s + lane.peak.at_s)}, and calls wait up to {duration(waits.longest_s)}. {end}"
    )


def _urgent(course: Course) -> Iterator[str]:
    """How calls of high priority fare, which go first."""
    found = [(waits.p99_s, waits.longest_s) for lane in course.lanes if (waits := lane.waits(Priority.HIGH))]
    if not found:
        return
    p99_s, longest_s = max(found)
    if longest_s < _LONG_S:
        yield f"Calls of high priority (carts, checkouts, orders) wait at most {duration(max(1.0, longest_s))}."
    else:
        yield (
            f"Calls of high priority (carts, checkouts, orders) wait up to {duration(longest_s)}; "
            f"99 % of them at most {duration(max(1.0, p99_s))}."
        )


def _what_it_takes(course: Course, begins_s: float) -> Iterator[str]:
    scenario, accounts = course.scenario, course.scenario.accounts
    expected = course.redis.value
    yield (
        f"Redis holds up to {gigabytes(expected)} at {clock(begins_s + course.redis.at_s)}: set maxmemory to "
        f"{gigabytes(maxmemory(expected))}, and give its machine {gigabytes(1.5 * maxmemory(expected))}."
    )
    events = scenario.traffic.peak * accounts
    calls = max(moment.calls_per_s for moment in course.moments) * accounts
    yield (
        f"{gateways_for(events):,} gateways for {per_second(events)} events/s, and {course.workers.value:,.0f} workers "
        f"for {per_second(calls)} calls/s, at the peak."
    )
    load, servers = redis_load(events, calls), shards_for(events, calls)
    more = f": spread the accounts over {servers} of them" if servers > 1 else ""
    yield f"Redis is busy for {percent(load, 1)} of one core at the peak, of which plans allow half{more}."


def _what_would_help(course: Course, unlimited: Course | None) -> Iterator[str]:
    if unlimited is not None and course.refused.keys() & {"backlog_full", "source_backlog_full"}:
        yield from _larger_backlog(unlimited)
    if "redis_full" in course.refused:
        needed = (unlimited or course).redis.value
        yield f"Set maxmemory to {gigabytes(maxmemory(needed))}: nothing would be refused for lack of memory."
    if (lane := course.worst) and not _is_slowed_by_workers(course):
        yield from _higher_limit(course, lane)
    if _is_slowed_by_workers(course):
        yield "Run more workers: the ones that this scenario has cannot send what Attentive would accept."


def _larger_backlog(unlimited: Course) -> Iterator[str]:
    most = max(sum(moment.waiting.values()) for moment in unlimited.moments)
    yield (
        f"Set GATEWAY_MAX_BACKLOG_EVENTS to {_rounded_up(most * 1.3):,} and GATEWAY_MAX_BACKLOG_BYTES to "
        f"{_rounded_up(most * 1.3 * WAITING_CALL_BYTES):,}: then nothing is refused, up to {most:,} calls wait, "
        f"and Redis holds {gigabytes(unlimited.redis.value)}."
    )


def _higher_limit(course: Course, lane: LaneCourse) -> Iterator[str]:
    flows = [flow for flow in course.scenario.traffic.flows if flow.endpoint == lane.endpoint]
    per_event = sum(flow.per_event for flow in flows)
    peak = course.scenario.traffic.peak * per_event
    if peak > lane.rate:
        yield (
            f"At the peak, {per_second(peak)} calls/s come in for {lane.endpoint}, and {per_second(lane.rate)} are "
            f"sent. With a limit of {_rounded_up(peak / SHARE):,} calls/s from Attentive, nothing would wait for it."
        )
        parts = dict.fromkeys((flow.event for flow in flows), 0.0)
        for flow in flows:
            parts[flow.event] += flow.per_event
        largest = sorted(parts.items(), key=lambda part: part[1], reverse=True)[:3]
        told = ", ".join(f"{event} {percent(part, per_event)}" for event, part in largest)
        yield (
            f"Its calls are made of: {told}. Events that no journey uses can be switched off under `mapping`, and "
            "then leave their rate to the others."
        )


def _is_slowed_by_workers(course: Course) -> bool:
    workers = course.scenario.capacity.workers
    return workers is not None and course.worst is not None and course.workers.value > max(2, workers)


def _rounded_up(number: float) -> int:
    """To two digits."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return int(-(-number // step) * step)


def clock(seconds: float) -> str:
    """A time of day; of a later day, with how many days later."""
    days, rest = divmod(round(seconds), _DAY_S)
    text = f"{rest // 3600:02}:{rest % 3600 // 60:02}"
    return f"{text} (+{days} d)" if days else text


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def per_second(rate: float) -> str:
    """ "1,200", "8.3", "0.02"."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def gigabytes(number: float) -> str:
    """ "850 MB", "3.9 GB"."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def percent(part: float, whole: float) -> str:
    """ "12 %", "0.4 %"."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "less than 0.1 %"
    return f"{share:.1f} %" if share < 10 else f"{share:.0f} %"
