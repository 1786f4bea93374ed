"""The arithmetic of docs/scale-out.md is that of today's figures, and its sentences follow from the limits."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from app.attentive.endpoints import CUSTOM_EVENT, IDENTITY, PRODUCT_VIEW, SUBSCRIBE, UNSUBSCRIBE, Endpoint
from app.config.scenario import USUAL_MIX, ScenarioSettings
from app.delivery.pace import SHARE
from app.simulation.figures import PLANNED_LOAD, REDIS_DELIVERY_US, REDIS_INTAKE_US
from app.simulation.scale_out import Demand, arithmetic, servers, together_bytes, workers
from benchmarks.scale_out import DEMANDS, renewed

PAGE: Final = (Path(__file__).parents[2] / "docs/scale-out.md").read_text(encoding="utf-8")
TEXT: Final = " ".join(PAGE.split())
DAY_S: Final = 86_400


def test_the_table_is_up_to_date() -> None:
    assert renewed(PAGE) == PAGE, "run `make docs`"


@pytest.mark.parametrize("demand", [pytest.param(each, id=f"{each.accounts} accounts") for each in DEMANDS])
def test_more_of_anything_takes_no_less(demand: Demand) -> None:
    for more in (
        replace(demand, events_per_s=demand.events_per_s * 2),
        replace(demand, accounts=demand.accounts * 2),
        replace(demand, people=demand.people * 2),
        replace(demand, outage_s=demand.outage_s * 2),
    ):
        assert together_bytes(more) > together_bytes(demand)
        assert servers(more) >= servers(demand)
        assert workers(more) >= workers(demand)


def test_each_line_has_a_figure_for_each_demand() -> None:
    assert {len(row.cells) for row in arithmetic(DEMANDS)} == {len(DEMANDS)}


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        pytest.param("product views, carts, purchases, custom events: each", CUSTOM_EVENT, id="events"),
        pytest.param("identity links", IDENTITY, id="identity links"),
        pytest.param("opt-ins", SUBSCRIBE, id="opt-ins"),
        pytest.param("opt-outs", UNSUBSCRIBE, id="opt-outs"),
    ],
)
def test_the_limits_of_an_account_are_the_documented_ones(row: str, limit: Endpoint) -> None:
    per_s = limit.calls_per_second
    (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.+) \|$", PAGE, re.MULTILINE)
    shown, sent, day = cells.split(" | ")
    assert float(shown) == per_s
    assert float(sent) == pytest.approx(per_s * SHARE)
    exact = per_s * SHARE * DAY_S
    assert day == (f"{exact / 1e6:.1f} million" if exact > 1e6 else f"{exact:,.0f}")


def test_an_account_of_the_table_is_below_its_limits() -> None:
    calls = DEMANDS[0].events_per_s * ScenarioSettings.model_fields["identified"].default
    views = calls * USUAL_MIX["Product Viewed"]
    custom = calls * sum(USUAL_MIX[name] for name in ("page", "Product List Viewed", "Checkout Started"))
    assert f"sends about {views:.0f} product views and {custom:.0f} custom events a second" in TEXT
    assert max(views, custom) < PRODUCT_VIEW.calls_per_second / 2


def test_an_account_at_its_limits_takes_a_fifteenth_of_a_server() -> None:
    planned = PLANNED_LOAD * 1e6 / (REDIS_INTAKE_US + REDIS_DELIVERY_US)
    assert round(planned / (4 * CUSTOM_EVENT.calls_per_second * SHARE)) == 15
    assert "takes a fifteenth of what one server is planned for" in TEXT
