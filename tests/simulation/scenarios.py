"""Scenarios for tests, and generators of them."""

from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from app.attentive.call import Priority
from app.attentive.endpoints import BY_NAME
from app.delivery.pace import Pace
from app.simulation.scenario import Burst, Capacity, Flow, Outage, Scenario, Traffic

HOUR_S: Final = 3600.0
VIEWS: Final = Flow("Product Viewed", "product-view", Priority.LOW, True, 0.6)
PAGES: Final = Flow("page", "custom-event", Priority.LOW, True, 0.3)
ORDERS: Final = Flow("Order Updated", "custom-event", Priority.HIGH, False, 0.1)
FLOWS: Final = (VIEWS, PAGES, ORDERS)


def paces(**limits: float) -> dict[str, Pace]:
    """The documented limits, or these: names with underscores."""
    return {name: Pace(limits.get(name.replace("-", "_"), each.calls_per_second)) for name, each in BY_NAME.items()}


def capacity(**facts: Any) -> Capacity:
    """Of an account with the documented limits."""
    usual: dict[str, Any] = {"paces": paces(), "fresh_s": 12 * HOUR_S, "horizon_s": 24 * HOUR_S}
    return Capacity(**(usual | facts))


def scenario(rate: float = 50.0, *, flows: tuple[Flow, ...] = FLOWS, **facts: Any) -> Scenario:
    """Traffic of so many events per second; `bursts`, `outages`, `capacity` and the other facts of a scenario."""
    traffic = Traffic(rate, flows, facts.pop("public_share", 0.9), facts.pop("bursts", ()))
    return Scenario(traffic, facts.pop("capacity", capacity()), **facts)


_SPANS: Final = st.floats(1, 300)


@st.composite
def capacities(draw: st.DrawFn) -> Capacity:
    """Small limits and short horizons, so that everything happens within minutes."""
    fresh_s = draw(st.floats(20, 100))
    return capacity(
        paces={
            name: Pace(
                draw(st.sampled_from((1.0, 5.0, 20.0, 150.0))),
                ceiling=ceiling,
                starvation_limit=timedelta(seconds=60),
            )
            for ceiling in [draw(st.sampled_from((None, 10.0)))]
            for name in ("product-view", "custom-event")
        },
        fresh_s=fresh_s,
        horizon_s=fresh_s * draw(st.floats(1, 3)),
        workers=draw(st.sampled_from((None, 1))),
        worker_calls_per_s=draw(st.sampled_from((8.0, 2000.0))),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A rate, bursts and outages of some minutes."""
    return scenario(
        draw(st.floats(0.1, 40)),
        bursts=tuple(draw(st.lists(st.builds(Burst, st.floats(0, 10), _SPANS, _SPANS), max_size=2))),
        outages=tuple(draw(st.lists(st.builds(Outage, _SPANS, _SPANS, st.just(frozenset[str]())), max_size=2))),
        public_share=draw(st.floats(0, 1)),
        capacity=draw(capacities()),
        longest_s=draw(st.floats(60, 600)),
    )
