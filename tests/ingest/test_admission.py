"""Back-pressure at the intake: who is put off, by which answer, and for how long."""

from dataclasses import dataclass
from typing import Any, Final

import pytest

from app.delivery.backlog import SourceBacklog
from app.delivery.pressure import BacklogSize, Pressure
from app.ingest.admission import Admission, Ceilings, RateLimit
from app.ingest.auth import Sender
from app.ingest.refusal import Refused
from app.pipeline import Plan
from tests.builders import track
from tests.fakes import OTHER_KEY, UNBOUNDED, WRITE_KEY, assert_refused, open_intake


@dataclass
class Clock:
    """One that goes when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class TestARate:
    """Of 10 events a second, 20 of which may come at once."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def limit(self, clock: Clock) -> RateLimit:
        return RateLimit(10, clock=clock)

    def test_lets_two_seconds_worth_in_at_once(self, limit: RateLimit) -> None:
        assert [limit.take(1) for _ in range(20)] == [0.0] * 20
        assert limit.take(1) == pytest.approx(0.1)

    def test_lets_more_in_as_time_goes_by(self, limit: RateLimit, clock: Clock) -> None:
        assert limit.take(20) == 0
        clock.now += 0.5
        assert [limit.take(1) for _ in range(5)] == [0.0] * 5
        assert limit.take(1) > 0

    def test_saves_no_more_than_the_burst(self, limit: RateLimit, clock: Clock) -> None:
        clock.now += 3600
        assert limit.take(20) == 0
        assert limit.take(1) > 0

    def test_counts_nothing_for_what_it_refuses(self, limit: RateLimit) -> None:
        assert limit.take(15) == 0
        assert [limit.take(6) for _ in range(3)] == [pytest.approx(0.1)] * 3
        assert limit.take(5) == 0

    def test_says_how_long_until_all_of_them_may_come(self, limit: RateLimit, clock: Clock) -> None:
        limit.take(20)
        wait = limit.take(15)
        assert wait == pytest.approx(1.5)
        clock.now += wait
        assert limit.take(15) == 0

    def test_lets_a_request_larger_than_the_burst_in_when_all_is_saved_and_then_pays_for_it(
        self, limit: RateLimit, clock: Clock
    ) -> None:
        assert limit.take(100) == 0
        assert limit.take(1) == pytest.approx(8.1)
        clock.now += 8.1
        assert limit.take(1) == 0

    def test_makes_a_request_larger_than_the_burst_wait_for_a_full_bucket(self, limit: RateLimit, clock: Clock) -> None:
        limit.take(5)
        wait = limit.take(100)
        assert wait == pytest.approx(0.5)
        clock.now += wait
        assert limit.take(100) == 0

    @pytest.mark.parametrize("per_second", [0.01, 0.2, 3, 1000.5])
    def test_is_kept_over_an_hour_whatever_it_is(self, per_second: float) -> None:
        clock = Clock()
        limit, taken = RateLimit(per_second, clock=clock), 0
        for _ in range(36_000):
            clock.now += 0.1
            while limit.take(max(1, int(per_second))) == 0:
                taken += max(1, int(per_second))
        assert 0.97 * 3600 * per_second <= taken <= 3600 * per_second + max(2 * per_second, 1)


CEILINGS: Final = Ceilings(backlog_events=100, backlog_bytes=5000, memory_share=0.9)
CALM: Final = Pressure({"acme": BacklogSize(99, 4999), "other": BacklogSize(0, 0)}, 0.9)


def backlog(deliveries: int, size: int) -> Pressure:
    return Pressure({"acme": BacklogSize(deliveries, size), "other": BacklogSize(0, 0)}, 0.5)


@pytest.mark.parametrize(
    ("pressure", "destination"),
    [
        pytest.param(CALM, "acme", id="just below every ceiling"),
        pytest.param(Pressure(), "acme", id="before the first look"),
        pytest.param(backlog(100, 5000), "other", id="while another destination is full"),
        pytest.param(backlog(100, 5000), "unheard-of", id="of a destination that is not known"),
    ],
)
def test_a_request_is_let_in(pressure: Pressure, destination: str) -> None:
    Admission(CEILINGS, lambda: pressure).check(destination, None, 1)


@pytest.mark.parametrize(
    ("pressure", "expected"),
    [
        pytest.param(backlog(100, 0), (429, "backlog_full", 30), id="while too many calls wait"),
        pytest.param(backlog(0, 5000), (429, "backlog_full", 30), id="while what waits takes too much memory"),
        pytest.param(Pressure(memory_share=0.91), (503, "redis_full", 10), id="while Redis is nearly full"),
        pytest.param(
            Pressure({"acme": BacklogSize(100, 0)}, 0.91), (503, "redis_full", 10), id="while both are, for Redis"
        ),
    ],
)
def test_a_request_is_put_off(pressure: Pressure, expected: tuple[int, str, int]) -> None:
    limit = RateLimit(1, clock=Clock())
    with pytest.raises(Refused) as refusal:
        Admission(CEILINGS, lambda: pressure).check("acme", limit, 1)
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after_s) == expected
    assert limit.take(2) == 0, "what is put off for another reason is not counted against the rate"


def sizes(deliveries: int, size: int, **sources: tuple[int, int]) -> Pressure:
    """What waits for `acme`, in all and of some sources, in calls and bytes."""
    by_source = {source: SourceBacklog(*own) for source, own in sources.items()}
    return Pressure({"acme": BacklogSize(deliveries, size, by_source)}, 0.5)


@pytest.mark.parametrize(
    ("pressure", "source", "put_off"),
    [
        pytest.param(sizes(75, 0, page=(75, 0)), "page", False, id="three quarters of the calls"),
        pytest.param(sizes(76, 0, page=(76, 0)), "page", True, id="more than three quarters of the calls"),
        pytest.param(sizes(76, 0, page=(76, 0)), "shop", False, id="a quarter is left to the others"),
        pytest.param(sizes(99, 0, page=(89, 0), shop=(2, 0)), "shop", False, id="a source with little, to the last"),
        pytest.param(sizes(90, 0, page=(45, 0), app=(45, 0)), "app", True, id="two that flood, each"),
        pytest.param(sizes(10, 3800, page=(5, 3800)), "page", True, id="more than three quarters of the bytes"),
        pytest.param(sizes(10, 3800, page=(5, 3800)), "shop", False, id="not those of another source"),
        pytest.param(sizes(10, 0, page=(10**6, 10**9)), "page", False, id="what was counted wrong holds up nothing"),
    ],
)
def test_a_source_has_its_share_of_the_backlog(pressure: Pressure, source: str, put_off: bool) -> None:
    admission = Admission(CEILINGS, lambda: pressure)
    admission.check("acme", None, 1, source=source, alone=True)
    if not put_off:
        admission.check("acme", None, 1, source=source, alone=False)
        return
    with pytest.raises(Refused) as refusal:
        admission.check("acme", None, 1, source=source, alone=False)
    assert (refusal.value.status, refusal.value.code) == (429, "source_backlog_full")


def test_a_page_stops_filling_redis_before_a_server_does() -> None:
    admission = Admission(CEILINGS, lambda: Pressure(memory_share=0.85))
    admission.check("acme", None, 1, source="shop")
    with pytest.raises(Refused) as refusal:
        admission.check("acme", None, 1, source="page", public=True)
    assert refusal.value.code == "redis_full"


@pytest.mark.parametrize(
    ("per_second", "events", "expected"),
    [
        pytest.param(1000, 1, 1, id="a millisecond is a second"),
        pytest.param(10, 10, 1, id="a second is a second"),
        pytest.param(10, 11, 2, id="a second and a bit are two"),
        pytest.param(10, 20, 2, id="two seconds are two"),
        pytest.param(0.1, 1, 10, id="ten seconds are ten"),
    ],
)
def test_the_time_to_wait_is_whole_seconds_that_suffice(per_second: float, events: int, expected: int) -> None:
    """Trackers read whole numbers alone, and take 0 for none."""
    clock = Clock()
    limit, admission = RateLimit(per_second, clock=clock), Admission(UNBOUNDED, Pressure)
    admission.check("acme", limit, max(1, int(per_second * 2)))
    with pytest.raises(Refused) as refusal:
        admission.check("acme", limit, events)
    assert (refusal.value.status, refusal.value.code) == (429, "rate_limited")
    assert refusal.value.retry_after_s == expected
    clock.now += expected
    admission.check("acme", limit, events)


class TestAtTheDoor:
    async def test_a_source_has_its_rate_and_its_neighbour_none(self) -> None:
        clock = Clock()
        senders = {
            WRITE_KEY: Sender("shop", "acme", Plan(), limit=RateLimit(2, clock=clock)),
            OTHER_KEY: Sender("app", "acme", Plan()),
        }
        intake = open_intake(senders=senders)
        async with intake.http:
            batch: dict[str, Any] = {"batch": [track("x", timestamp=None)] * 4}
            assert (await intake.post("/v1/batch", batch)).status_code == 200
            answer = await intake.post("/v1/track", track("x", timestamp=None))
            assert_refused(answer, 429, "rate_limited")
            assert answer.headers["retry-after"] == "1"
            assert (await intake.post("/v1/batch", batch, key=OTHER_KEY)).status_code == 200
            clock.now += 1
            assert (await intake.post("/v1/track", track("x", timestamp=None))).status_code == 200
        assert len(intake.outbox.arrivals) == 9
        assert intake.count("gateway_refused_total", code="rate_limited") == 1

    @pytest.mark.parametrize(
        ("pressure", "status", "code"),
        [
            pytest.param(backlog(100, 0), 429, "backlog_full", id="a backlog that is full"),
            pytest.param(Pressure(memory_share=0.95), 503, "redis_full", id="a Redis that is nearly full"),
        ],
    )
    async def test_no_event_is_kept_under(self, pressure: Pressure, status: int, code: str) -> None:
        intake = open_intake(admission=Admission(CEILINGS, lambda: pressure))
        async with intake.http:
            answer = await intake.post("/v1/track", track("x", timestamp=None))
        assert_refused(answer, status, code)
        assert answer.headers["retry-after"].isdecimal()
        assert int(answer.headers["retry-after"]) >= 1
        assert intake.outbox.arrivals == []
        assert intake.count("gateway_http_requests_total", path="/v1/track", status=str(status)) == 1

    async def test_strangers_learn_nothing_of_it(self) -> None:
        intake = open_intake(admission=Admission(CEILINGS, lambda: Pressure(memory_share=1.0)))
        async with intake.http:
            assert_refused(await intake.post("/v1/track", track("x"), key="nobody"), 401, "unknown_source")
