"""Mistakes under `mapping`: each is reported with its line, its key and what was expected."""

from pathlib import Path
from typing import Final

import pytest

from app.config.document import BadFile
from app.config.topology import load_file

HEAD: Final = """\
destinations:
  acme:
    api_token: x
    mapping:
"""
TAIL: Final = """
sources:
  web: {write_key: y, destination: acme}
"""


def mistakes_in(mapping: str, folder: Path) -> list[tuple[int, str, str]]:
    """Line, place within `mapping`, and what was expected."""
    file = folder / "gateway.yaml"
    file.write_text(HEAD + "".join(f"      {line}\n" for line in mapping.splitlines()) + TAIL)
    with pytest.raises(BadFile) as found:
        load_file(file)
    start = "destinations.acme.mapping"
    assert all(mistake.where.startswith(start) for mistake in found.value.mistakes)
    return [
        (mistake.line, mistake.where.removeprefix(start).removeprefix("."), mistake.expected)
        for mistake in found.value.mistakes
    ]


EVENT: Final = "events:\n  Quiz Finished:\n    "

MISTAKES: Final = [
    pytest.param("event: {}", 5, "event", "did you mean events?", id="an unknown part"),
    pytest.param("items: {sku: x}", 5, "items", "did you mean item?", id="a part in the plural"),
    pytest.param("item: {productID: x}", 5, "item.productID", "did you mean productId?", id="an unknown field"),
    pytest.param("item: {price: {constant: free}}", 5, "item.price", "must be an amount", id="a price in words"),
    pytest.param("item: {quantity: {constant: 0}}", 5, "item.quantity", "a whole number", id="a quantity of none"),
    pytest.param("item: {currency: [cur, {constant: dollars}]}", 5, "item.currency", "three-letter", id="a currency"),
    pytest.param("item: {price: []}", 5, "item.price", "must be a path", id="no path at all"),
    pytest.param("item: {price: 5}", 5, "item.price", "must be a path", id="a number in place of a path"),
    pytest.param("item: {price: {fixed: 5}}", 5, "item.price", "{constant: …}", id="an input of no known kind"),
    pytest.param("item: {price: [a, {constant: null}]}", 5, "item.price.1", "{constant: …}", id="a constant of null"),
    pytest.param(EVENT + "properties: {a: {constant: .nan}}", 7, "properties.a", "must be text", id="no number"),
    pytest.param(
        EVENT + "properties: {a: {constant: {1: b}}}", 7, "properties.a", "must be text", id="a number as name"
    ),
    pytest.param("item: {price: a..b}", 5, "item.price", "names with dots between them", id="a path with a gap"),
    pytest.param(EVENT + "priorty: high", 7, "priorty", "did you mean priority?", id="a misspelt key"),
    pytest.param(EVENT + "priority: urgent", 7, "priority", "'high', 'normal' or 'low'", id="a priority of no kind"),
    pytest.param(EVENT + "to: purchases", 7, "to", "did you mean purchase?", id="an endpoint"),
    pytest.param(
        EVENT + "to: [custom-event, subscribe]", 7, "to.1", "the choices are: add-to-cart", id="one not to be used"
    ),
    pytest.param(EVENT + "type: Quiz", 7, "type", "fixed text is written {constant: …}", id="text in place of a path"),
    pytest.param(
        EVENT + "properties:\n      a: properties.a\n      score: result.score",
        9,
        "properties.score",
        "a path begins with properties, traits, context",
        id="a path without its beginning",
    ),
    pytest.param(
        EVENT + "properties: {a: anonymousId}", 7, "properties.a", "a path begins with", id="what is never sent"
    ),
    pytest.param(EVENT + "drop: [properties.a]", 7, "drop.0", "without properties.", id="a path in place of a name"),
    pytest.param(EVENT + "rename: {properties.a: b}", 7, "rename.properties.a", "own name", id="a path to be renamed"),
    pytest.param(EVENT + "rename: [a, b]", 7, "rename", "must be a mapping", id="names to be renamed in a list"),
    pytest.param(EVENT + "keep: some", 7, "keep", "must be all, or a list", id="neither all nor a list"),
    pytest.param(EVENT + "orderId: userId", 7, "orderId", "is for purchase, and this", id="a word of another endpoint"),
    pytest.param(EVENT + "to: purchase\n    keep: all", 8, "keep", "is for custom-event, and", id="another such word"),
    pytest.param(
        "events:\n  Order Completed:\n    type: event", 7, "type", "goes to purchase", id="one of a known event"
    ),
    pytest.param("page: {orderId: userId}", 5, "page.orderId", "is for purchase", id="one of a page"),
    pytest.param(
        "identify: {occurredAt: userId}", 5, "identify.occurredAt", "the choices are: attributes,", id="a time"
    ),
    pytest.param("identify: {type: event}", 5, "identify.type", "priority, rename, send, to", id="identify's words"),
    pytest.param(
        "events:\n  Order Cancelled: {}\n  order_canceled: {}",
        7,
        "events.order_canceled",
        "is already configured as Order Cancelled",
        id="one event by two names",
    ),
    pytest.param(
        "events:\n  A: {}\n  A: {}", 7, "events.A", "is repeated; it is first in line 6", id="one event twice"
    ),
    pytest.param("events: {' ': {}}", 5, "events. ", "the name of a track event", id="a blank name"),
    pytest.param(EVENT + "type: {jmespath: 'a ||'}", 7, "type", "not a valid JMESPath", id="half an expression"),
    pytest.param(EVENT + "type: {jmespath: 'a b'}", 7, "type", "check character 3", id="two expressions"),
    pytest.param(EVENT + "type: {jmespath: lower(event)}", 7, "type", "it has: abs, avg", id="an unknown function"),
    pytest.param(EVENT + "type: {jmespath: join(a)}", 7, "type", "join() takes 2 arguments", id="too few arguments"),
    pytest.param(EVENT + "type: {jmespath: 'length(a, b)'}", 7, "type", "takes 1 argument", id="too many arguments"),
    pytest.param(EVENT + "type: {jmespath: '[&a]'}", 7, "type", "& is for the functions", id="a stray reference"),
    pytest.param(
        EVENT + "type: {jmespath: 'a[?max_by(b, &c)].{x: nope(d)}'}", 7, "type", "does not have", id="deep within"
    ),
]


@pytest.mark.parametrize(("mapping", "line", "where", "expected"), MISTAKES)
def test_a_mistake_is_told_with_its_line(mapping: str, line: int, where: str, expected: str, tmp_path: Path) -> None:
    ((found_line, found_where, rule),) = mistakes_in(mapping, tmp_path)
    assert found_line == line
    assert found_where.endswith(where)
    assert expected in rule
