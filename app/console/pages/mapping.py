"""The mapping: the catalogue in force, and what would become of one event. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.attentive.bodies import contract
from app.attentive.endpoints import BY_NAME
from app.config.destination import Destination
from app.mapping.catalogue import CATALOGUE
from app.mapping.describe import Line, Products, consents, lines, products
from app.operations.trial import Trial, calls_of, identity_facts
from app.pipeline import Fail, Forward, Plan

_USUAL: Final = {("type", "event"), ("externalEventId", "messageId")}
EXAMPLE: Final = """{
  "type": "track",
  "event": "Product Viewed",
  "userId": "customer-1042",
  "context": {"traits": {"email": "jane@example.com"}},
  "properties": {
    "product_id": "P-7",
    "variant": "P-7-blue",
    "name": "Linen shirt",
    "price": 49.9,
    "currency": "USD"
  }
}"""


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One rule."""

    event: str
    endpoint: str  # empty: these events are dropped
    priority: str
    fields: Sequence[tuple[str, str]]
    own: bool


@dataclass(frozen=True, slots=True)
class CataloguePage:
    """What is in force for one destination."""

    destination: str
    rows: Sequence[CatalogueRow]
    products: Sequence[Products]


@dataclass(frozen=True, slots=True)
class TriedCall:
    """One call, and whether Attentive's schema allows it."""

    method: str
    url: str
    priority: str
    asked_first: str
    body: Any
    violation: str
    origins: Sequence[tuple[str, str]]  # Attentive's key, and where its value comes from


@dataclass(frozen=True, slots=True)
class TrialPage:
    """What would become of one event."""

    event: str
    kind: str
    identity: Sequence[tuple[str, str]]
    rules: Sequence[tuple[str, bool]]  # name, and whether the configuration has changed it
    notes: Sequence[str]
    outcome: str
    tone: str
    detail: str
    calls: Sequence[TriedCall]


def catalogue_page(destination: str, plan: Plan) -> CataloguePage:
    """The catalogue of one destination, in words."""
    rows = [_row(line) for line in (*lines(plan.catalogue), *consents(plan.subscriptions))]
    return CataloguePage(destination, rows, products(plan.catalogue))


def _row(line: Line) -> CatalogueRow:
    filled = [item for item in line.fields.items() if item not in _USUAL]
    return CatalogueRow(line.event, line.endpoint, line.priority, filled, line.own)


def trial_page(trial: Trial, account: Destination, plan: Plan) -> TrialPage:
    """One tried event."""
    decision = trial.decision
    kind = trial.outcome.partition(":")[0]
    return TrialPage(
        event=trial.event.name or trial.event.type,
        kind=trial.event.type,
        identity=list(identity_facts(trial.identity).items()),
        rules=[(rule.name, rule not in CATALOGUE) for rule in trial.rules],
        notes=list(decision.notes),
        outcome=trial.outcome,
        tone={"forward": "good", "dead letter": "bad"}.get(kind, "warn"),
        detail=decision.detail if isinstance(decision, Fail) else "",
        calls=_calls(trial, account, plan),
    )


def _calls(trial: Trial, account: Destination, plan: Plan) -> list[TriedCall]:
    if not isinstance(trial.decision, Forward):
        return []
    origins = {
        rule.endpoint.name: list(line.fields.items())
        for rule, line in zip(plan.catalogue.rules, lines(plan.catalogue), strict=False)
        if rule in trial.rules
    }
    return [
        _call(sent.endpoint, call, origins.get(sent.endpoint, []))
        for sent, call in zip(trial.decision.deliveries, calls_of(trial, account), strict=True)
    ]


def _call(endpoint: str, call: Mapping[str, Any], origins: Sequence[tuple[str, str]]) -> TriedCall:
    violation = contract().violation(BY_NAME[endpoint].path, call["body"])
    return TriedCall(
        method=call["method"],
        url=call["url"],
        priority=call["priority"],
        asked_first=" and ".join(call.get("asked_first", ())),
        body=call["body"],
        violation="" if violation is None else str(violation),
        origins=origins,
    )
