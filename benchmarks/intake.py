"""Rows 1 to 4, 9 and 11 at the intake: requests per second and how long they take."""

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.backlog import fill
from benchmarks.contenders import BARE, CEILING, GATEWAY, GROUPED, OBVIOUS, Contender
from benchmarks.event import BATCH, Requests, batches, tracks
from benchmarks.measure import Measurement, measure
from benchmarks.process import Store, serving, store
from benchmarks.rows import Found, Reach, Row, at_least, at_most, spread_text

WAITING: Final = 1_000_000  # deliveries, for row 9
Round = dict[str, Measurement]
Step = Callable[[str], None]  # told what is being measured


def single_events(rounds: int, seconds: int, step: Step) -> Found:
    """Rows 1, 2 and 4."""
    requests = tracks()
    measured: list[Round] = []
    for number in range(1, rounds + 1):
        found: Round = {}
        for contender in (GROUPED, OBVIOUS, GATEWAY, BARE):
            step(f"round {number}: single events, {contender.name}")
            with store() as kept, serving(contender, kept) as server:
                found[contender.letter] = measure(contender, server, kept, requests, seconds=seconds)
                if contender in (GATEWAY, BARE):  # the gateway comes first: half of its rate is what both are given
                    half = found["d"].per_second / 2
                    found[contender.letter + "/2"] = measure(
                        contender, server, kept, requests, seconds=seconds, rate=half, warm_up_s=0
                    )
        measured.append(found)
    one = "/v1/track, requests/s of one process"
    return Found(
        (
            Row("1", one, "(c) " + OBVIOUS.name, _rates(measured, "c"), at_least(5)),
            Row("2", one, "(b) " + GROUPED.name, _rates(measured, "b"), at_least(0.5)),
            Row(
                "4",
                "p99 of /v1/track at half of its top rate",
                "(a) bare ASGI at the same rate",
                tuple(found["d/2"].p99_ms / found["a/2"].p99_ms for found in measured),
                at_most(3),
            ),
        ),
        (
            *_described(measured, (BARE, GROUPED, OBVIOUS, GATEWAY), "requests/s"),
            ("p99 at half rate, bare", spread_text([found["a/2"].p99_ms for found in measured], "ms", 1)),
            ("p99 at half rate, gateway", spread_text([found["d/2"].p99_ms for found in measured], "ms", 1)),
        ),
    )


def batched_events(rounds: int, seconds: int, step: Step) -> Found:
    """Row 3."""
    requests = batches()
    measured: list[Round] = []
    for number in range(1, rounds + 1):
        found: Round = {}
        for contender in (CEILING, OBVIOUS, GATEWAY):
            step(f"round {number}: batches of {BATCH}, {contender.name}")
            with store() as kept, serving(contender, kept) as server:
                found[contender.letter] = measure(contender, server, kept, requests, seconds=seconds)
        measured.append(found)
    many = f"/v1/batch of {BATCH}, events/s of one process"
    return Found(
        (
            Row("3a", many, "(c) " + OBVIOUS.name, _rates(measured, "c"), at_least(6)),
            Row("3b", many, "(e) " + CEILING.name, _rates(measured, "e"), at_least(0.25)),
        ),
        _described(measured, (CEILING, OBVIOUS, GATEWAY), "events/s", events=BATCH),
    )


def with_a_backlog(rounds: int, seconds: int, step: Step, *, waiting: int = WAITING) -> Found:
    """Row 9, at the intake."""
    step(f"filling {waiting:,} deliveries in")
    requests = tracks()
    with store() as full, store() as empty:
        fill(full, waiting)
        measured = list(_side_by_side(full, empty, requests, rounds, seconds, step))
    row = Row(
        *("9a", f"/v1/track, requests/s with {waiting:,} deliveries waiting", "with none waiting"),
        tuple(found["full"].per_second / found["empty"].per_second for found in measured),
        at_least(0.9),
    )
    return Found((row,), (("with a backlog", spread_text([one["full"].per_second for one in measured], "requests/s")),))


def _side_by_side(
    full: Store, empty: Store, requests: Requests, rounds: int, seconds: int, step: Step
) -> Iterator[Round]:
    for number in range(1, rounds + 1):
        found: Round = {}
        for name, kept in (("full", full), ("empty", empty)):
            step(f"round {number}: single events, {name} lanes")
            with serving(GATEWAY, kept) as server:
                found[name] = measure(GATEWAY, server, kept, requests, seconds=seconds)
        yield found


def two_processes(rounds: int, seconds: int, step: Step) -> Found:
    """Row 11, at the intake."""
    requests = tracks()
    ratios, rates = [], []
    for number in range(1, rounds + 1):
        per_second = {}
        for processes in (1, 2):
            step(f"round {number}: single events, {processes} gateway process{'es' * (processes - 1)}")
            with store() as kept, serving(GATEWAY, kept, processes=processes) as server:
                per_second[processes] = measure(GATEWAY, server, kept, requests, seconds=seconds).per_second
        ratios.append(per_second[2] / per_second[1])
        rates.append(per_second[2])
    row = Row("11a", "/v1/track, requests/s of two gateway processes", "of one", tuple(ratios), Reach())
    return Found((row,), (("two gateway processes", spread_text(rates, "requests/s")),))


def _rates(measured: list[Round], other: str) -> tuple[float, ...]:
    return tuple(found["d"].per_second / found[other].per_second for found in measured)


def _described(
    measured: list[Round], contenders: tuple[Contender, ...], unit: str, *, events: int = 1
) -> tuple[tuple[str, str], ...]:
    lines = []
    for contender in contenders:
        all_rounds = [found[contender.letter] for found in measured]
        rate = spread_text([one.per_second * events for one in all_rounds], unit)
        p99 = spread_text([one.p99_ms for one in all_rounds], "ms", 1)
        cpu = spread_text([one.server_us / events for one in all_rounds], "µs", 1)
        of_redis = spread_text([one.redis_us / events for one in all_rounds], "µs", 1)
        lines.append((f"({contender.letter}) {contender.name}", f"{rate}; p99 {p99}; CPU {cpu}, of Redis {of_redis}"))
    return tuple(lines)
