"""The order of calls, their retries and the account's ceiling: from the file to lanes and plans."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.config.delivery import DeliverySettings
from app.config.topology import Topology
from app.delivery.lane import Lane
from app.delivery.pace import STARVATION_LIMIT, Pace
from app.pipeline import Plan
from app.wiring.gateway import plan_of
from app.wiring.shared import all_paces


def topology(**destination: Any) -> Topology:
    account = {"api_token": "x", **destination}
    sources = {"shop": {"write_key": "wk", "destination": "acme"}}
    return Topology.model_validate({"destinations": {"acme": account}, "sources": sources})


@pytest.mark.parametrize(
    ("destination", "pace"),
    [
        pytest.param({}, Pace(10), id="the documented limit"),
        pytest.param({"limits": {"identity": 4}}, Pace(4, fixed=True), id="the operator's limit"),
        pytest.param({"limits": {"purchase": 4}}, Pace(10), id="the operator's limit for another endpoint"),
        pytest.param({"delivery": {"calls_per_second": 50}}, Pace(10, ceiling=50), id="a ceiling"),
        pytest.param(
            {"delivery": {"starvation_seconds": 5}}, Pace(10, starvation_limit=timedelta(seconds=5)), id="another limit"
        ),
    ],
)
def test_a_lane_gets_its_pace(destination: dict[str, Any], pace: Pace) -> None:
    assert all_paces(topology(**destination))[Lane("acme", "identity")] == pace


def test_a_plan_gets_how_long_events_are_fresh_and_worth_sending() -> None:
    plan = plan_of(topology(delivery={"fresh_hours": 6, "horizon_hours": 48}).destinations["acme"])
    assert (plan.fresh_ms, plan.horizon_ms) == (6 * 3_600_000, 48 * 3_600_000)


def test_the_defaults_are_those_of_the_parts() -> None:
    settings = DeliverySettings()
    assert settings.fresh_hours * 3_600_000 == Plan().fresh_ms
    assert settings.horizon_hours * 3_600_000 == Plan().horizon_ms
    assert timedelta(seconds=settings.starvation_seconds) == STARVATION_LIMIT
    assert settings.calls_per_second is None


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        pytest.param({"calls_per_second": 0}, "greater than 0", id="a ceiling of nothing"),
        pytest.param({"starvation_seconds": 0}, "greater than 0", id="no limit"),
        pytest.param({"fresh_hours": -1}, "greater than 0", id="stale before it happened"),
        pytest.param({"fresh_hours": 25}, "fresh_hours must not be more", id="fresh for longer than it is sent"),
        pytest.param({"horizon_hours": float("inf")}, "finite", id="sent for ever"),
        pytest.param({"ceiling": 5}, "unknown", id="a key that is none"),
    ],
)
def test_a_mistake_is_said(given: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError) as mistake:
        DeliverySettings.model_validate(given)
    assert rule in str(mistake.value)
