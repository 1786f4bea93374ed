"""Rows wait behind what happens now: a live purchase waits for no row of a sync that has not left."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from arq.connections import ArqRedis

from app.attentive.endpoints import PURCHASE
from app.config.topology import Topology
from app.delivery.consumer import LaneConsumer
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.pace import Pace
from app.ingest.arrivals import outbox_event_of
from app.operations.operator import Operator
from app.pipeline import Forward, decide, read
from app.rows.outcomes import Bucket
from app.rows.run import run
from app.settings import Settings
from app.wiring.gateway import all_senders
from tests.builders import track

ROWS: Final = 40
CLAIMED: Final = 10


def topology_of(table: Path, trust: str) -> Topology:
    orders = {"destination": "acme", "source": {"ndjson": str(table)}, "key": "id", "object": "purchases"}
    return Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "x"}},
            "sources": {"shop": {"write_key": "w", "destination": "acme", "trust": trust}},
            "syncs": {"orders": orders},
        }
    )


def order(number: int) -> dict[str, Any]:
    return {
        "id": f"o{number}",
        "email": f"o{number}@example.com",
        "product_id": "1",
        "name": "Tent",
        "price": 10 + number,
    }


async def buy(redis: ArqRedis, topology: Topology, message_id: str) -> None:
    """A purchase of a tracker, as the intake stores it."""
    product = {"product_id": "1", "name": "Tent", "price": 10}
    traits = {"email": "live@example.com"}
    now, plan = datetime.now(UTC), all_senders(topology)["w"].plan
    given = {"messageId": message_id, "timestamp": now.isoformat(), "context": {"traits": traits}}
    raw = track("Order Completed", {"products": [product]}, **given)
    reading = read(raw, orjson.dumps(raw), plan)
    decision = decide(reading, plan, source="shop", received_at=now)
    assert isinstance(decision, Forward)
    stored = outbox_event_of(reading.event, decision, original=reading.original, source="shop", received_at=now)
    await Outbox(redis, wake=lambda *_: None, journal_entries=0).submit("acme", [stored])


async def claimed(lane: LaneConsumer) -> list[str]:
    found = await lane.claim(CLAIMED, under_way=0)
    return [Delivery.unpacked(entry.payload).message_id for entry in found.entries]


@pytest.mark.parametrize(
    ("trust", "ahead"),
    [
        pytest.param("server", 0, id="of a server, which go before all rows"),
        pytest.param("public", CLAIMED - 2, id="of pages, which share the limit with rows by halves"),
    ],
)
async def test_live_purchases_leave_with_the_next_calls(
    redis: ArqRedis, tmp_path: Path, trust: str, ahead: int
) -> None:
    table = tmp_path / "orders.ndjson"
    table.write_text("\n".join(json.dumps(order(number)) for number in range(ROWS)))
    topology = topology_of(table, trust)
    settings = Settings(_env_file=None, sync_state=str(tmp_path / "state"))
    (finished,) = await run(Operator(settings, topology, redis), "orders", wait=False)
    assert finished.report.buckets[Bucket.WAITING] == ROWS
    lane = LaneConsumer(redis, Lane("acme", PURCHASE.name), Pace(10_000), journal_entries=0)
    assert await lane.acquire()
    assert all(name.startswith("sync-orders-") for name in await claimed(lane))
    live = ["live-1", "live-2"]
    for name in live:
        await buy(redis, topology, name)
    found = await claimed(lane)
    assert len(found) == CLAIMED
    assert [name for name in found if not name.startswith("sync-orders-")] == live
    assert found.index(live[0]) <= ahead
