"""What the pages show of numbers: graphs, rates, missed journeys, and what a promotion would change."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.console.pages.graphs import HEIGHT, WIDTH, graphs
from app.counted import DropReason
from app.delivery.delivery import to_ms
from app.delivery.journal.event_rates import Bucket, Rates
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.row_index import id_in_digits, row_head, rows_of
from app.delivery.lag import LagCounts
from app.delivery.objectives import DEFAULT_OBJECTIVES
from app.delivery.waits import LaneWaits
from app.store.keys import DestinationKeys
from tests.builders import delivery
from tests.console.opened import EMAIL, Opened, configuration, happen, opened

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def of(*buckets: Bucket) -> Rates:
    return Rates("acme", buckets, complete=True)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_graph_reaches_from_its_bottom_to_its_top() -> None:
    counts, _ = graphs(of(*(Bucket(NOW, received=n, delivered=5 * n, median=timedelta(seconds=n)) for n in range(11))))
    received, delivered = counts.lines
    assert [x for x, _ in points(delivered.path)] == [WIDTH * n / 10 for n in range(11)]
    assert (points(delivered.path)[0][1], points(delivered.path)[-1][1]) == (HEIGHT - 2, 2)
    assert points(received.path)[-1][1] > HEIGHT / 2
    assert (counts.most, received.name, delivered.kind) == (50, "Received", "delivered")
    assert "Delivered at most 50 a minute" in counts.text


def test_a_minute_without_a_delivery_is_a_gap_and_no_zero() -> None:
    seconds = [1, None, 2, 3]
    spans = [None if each is None else timedelta(seconds=each) for each in seconds]
    (_, delays) = graphs(of(*(Bucket(NOW, delivered=1, median=span, slowest=span) for span in spans)))
    (slowest, median) = delays.lines
    assert slowest.path.count("M") == median.path.count("M") == 2
    assert slowest.area.count("Z") == 2


def test_without_events_there_is_no_graph() -> None:
    assert graphs(of(Bucket(NOW), Bucket(NOW))) == []


async def test_the_overview_draws_the_last_hour(console: Opened, redis: Redis) -> None:
    now = datetime.now(UTC)
    for ago, outcome in ((3, RowOutcome.ACCEPTED), (2, RowOutcome.DELIVERED)):
        row = rows_of("m-1", row_head(outcome, "shop", "Order Completed", ("purchase",)))
        index = DestinationKeys("acme").journal_index
        await redis.rpush(index, id_in_digits(f"{to_ms(now - timedelta(minutes=ago))}-0") + row)  # type: ignore[misc]
    await redis.hset(DestinationKeys("acme").counters, mapping={"received": 1, "delivered": 1})  # type: ignore[misc]
    page = (await (await console.user("vera")).get("/")).text
    assert page.count('class="graph"') == 2
    assert "Delivered at most 1 a minute" in page
    assert "Median at most 60 s" in page


async def test_lanes_show_the_rate_that_is_used_and_missed_journeys(console: Opened, redis: Redis) -> None:
    soon_ms = to_ms(datetime.now(UTC)) + 60_000  # the last 10 s count, however long the machine takes
    attempt: dict[str, Any] = {"endpoint": "product-view", "attempt": 1, "outcome": "delivered", "status": 200}
    for number in range(20):
        await happen(redis, f"m-{number}", "attempt", entry_id=f"{soon_ms}-{number}", **attempt)
    await redis.hset(DestinationKeys("acme").counters, mapping={"missed:arrived": 3, "missed:waited": 1})  # type: ignore[misc]
    page = (await (await console.user("vera")).get("/lanes?destination=acme")).text
    assert re.search(r'data-label="Used of allowed">2 of [\d.]+/s', page)
    assert "Missed journeys" in page


@pytest.mark.parametrize(
    ("to", "status", "shown"),
    [
        pytest.param("", 200, "deliver: test_people", id="the next step"),
        pytest.param("all", 200, "deliver: all", id="a step that is named"),
        pytest.param("none", 400, "delivers to none already", id="no change"),
        pytest.param("some", 400, "not valid", id="a step that does not exist"),
    ],
)
async def test_a_promotion_is_previewed(
    tmp_path: Path, url: str, redis: Redis, to: str, status: int, shown: str
) -> None:
    content: dict[str, Any] = configuration()
    content["destinations"]["acme"] |= {"deliver": "none", "test_people": [EMAIL]}
    reason = DropReason.NOT_DELIVERED.value
    await happen(redis, "m-1", "received", event="Signed Up", decision="drop", reason=reason, calls=[])
    async with opened(tmp_path, url, content) as console:
        browser = await console.user("otto")
        assert "no one" in (await browser.get("/destinations")).text
        assert "/destinations/acme/promote" in (await browser.get("/destinations/acme")).text
        answer = await browser.get("/destinations/acme/promote", params={"to": to} if to else {})
    assert answer.status_code == status
    assert shown in answer.text
    assert ("Signed Up" in answer.text) is (status == 200)
    assert EMAIL not in answer.text


async def test_a_destination_shows_what_its_late_calls_waited_for(console: Opened, redis: Redis) -> None:
    counts, now = LagCounts(), datetime.now(UTC)
    received = to_ms(now) - 600_000
    for waits in (LaneWaits(), LaneWaits(received), LaneWaits(0, received, to_ms(now))):
        counts.of("acme", DEFAULT_OBJECTIVES).note(delivery(received_ms=received), to_ms(now), waits)
    for _ in range(97):
        counts.of("acme", DEFAULT_OBJECTIVES).note(delivery(received_ms=received), received + 10, LaneWaits())
    await counts.flush(redis, now_s=now.timestamp())

    page = (await (await console.user("vera")).get("/destinations/acme")).text

    cells = dict(re.findall(r'data-label="([^"]+)">([^<]*)</td>', page[page.index("<strong>normal</strong>") :]))
    assert cells == {
        "Objective": "99 % in 60 s",
        "Last hour": "97.98 %",
        "30 days": "97.98 %",
        "Calls in time": "97",
        "Late: the limit": "1",
        "Late: a hold": "1",
        "Late: our own delay": "1",
        "Budget left": "-102 %",
    }
