"""One look at all alerts: from what was observed to changed states and messages."""

from collections.abc import Collection, Mapping
from typing import Final

from app.alerts.messages import message_of
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side, Stored, is_muted, read_mutes, remove_mutes
from app.alerts.rules import RULES, AlertId, Evaluator, Thresholds
from app.alerts.state import AlertState, Notice, announce, step

Observations = Mapping[AlertId, float]
EVALUATE_EVERY_MS: Final = 3_000
_NEVER: Final = Thresholds(None, None)
_EVALUATOR: Final = {Side.WORKERS: Evaluator.WORKERS, Side.GATEWAYS: Evaluator.GATEWAYS}


async def evaluate(
    register: Register, plan: AlertPlan, observed: Observations, now: int, unknown: Collection[str] = ()
) -> int:
    """Take every alert one step on; how many have changed. `now` is epoch ms. Raises StoreError.

    An alert that was not observed has ended: what it was about is gone, or its rule is. Those of rules of which nothing
    is known now stay as they are.
    """
    rules = plan.of(_EVALUATOR[register.side])
    await remove_mutes(register.redis, now)
    stored, mutes = await register.states(), await read_mutes(register.redis, now)
    changed = 0
    for alert in {**observed, **stored}:
        if alert.rule in unknown:
            continue
        before, rule = stored.get(alert, Stored(AlertState())), rules.get(alert.rule)
        if alert.rule not in RULES:  # of another release
            await register.change(alert, before, AlertState(), {}, now)
            continue
        thresholds = _NEVER if rule is None else rule.thresholds
        value = observed.get(alert, 0.0) if rule is not None else 0.0
        after, notices = advance(plan, alert, before.state, value, thresholds, now, muted=is_muted(alert, mutes))
        if after == before.state or (after.is_over and not before.raw):
            continue
        messages = {notice.channel: message_of(alert, value, notice, now, plan.sender) for notice in notices}
        changed += await register.change(alert, before, after, messages, now)
    return changed


def advance(
    plan: AlertPlan, alert: AlertId, state: AlertState, value: float, thresholds: Thresholds, now: int, *, muted: bool
) -> tuple[AlertState, list[Notice]]:
    """The next state of one alert, and whom to tell."""
    destination = destination_of(alert)
    routes = [channel for channel in plan.channels if channel.concerns(alert.rule, destination)]
    return announce(step(state, value, thresholds, now), routes, now, muted=muted)


def destination_of(alert: AlertId) -> str | None:
    """The destination that an alert is about; None where it is about none."""
    rule = RULES.get(alert.rule)
    named = dict(zip(rule.labels, alert.labels, strict=False)) if rule else {}
    return named.get("destination")
