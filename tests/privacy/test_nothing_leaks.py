"""For any input: no number or password that the guard looks for is stored, returned or logged."""

import asyncio
import string
from collections.abc import MutableMapping
from typing import Any, Final, NamedTuple

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.us import ssn

from app.privacy.detectors import ISSUERS
from app.privacy.identifiers import IdentifierNames
from app.privacy.names import ALONE, ANYWHERE
from tests.builders import EMAIL
from tests.fakes import open_intake
from tests.generated import examples

DIGITS: Final = string.digits
CAPITALS: Final = string.ascii_uppercase
ACCOUNTS: Final = (  # country, and what its numbers are made of
    ("DE", ((DIGITS, 18),)),
    ("GB", ((CAPITALS, 4), (DIGITS, 14))),
    ("LV", ((CAPITALS, 4), (CAPITALS, 13))),
)
ANY_NAME: Final = st.text(string.ascii_letters + "_ ", min_size=1, max_size=12).map(lambda name: f"x{name}")
NAMES: Final = ANY_NAME.filter(lambda name: name not in IdentifierNames())  # whose numbers are kept


class Planted(NamedTuple):
    """A value that must not come through: as it stands in the event, and by what it would be known again."""

    value: Any
    traces: tuple[str, ...]
    name: str | None = None  # the field it has to stand in


@st.composite
def cards(draw: st.DrawFn) -> Planted:
    _, ranges, lengths = draw(st.sampled_from(ISSUERS))
    first, last = draw(st.sampled_from(ranges))
    prefix = str(draw(st.integers(int(first), int(last))))
    size = draw(st.sampled_from(lengths)) - 1 - len(prefix)
    body = prefix + draw(st.text(DIGITS, min_size=size, max_size=size))
    digits = body + luhn.calc_check_digit(body)
    gap = draw(st.sampled_from(" -.\u00a0\u2013"))
    groups = {14: (4, 6, 4), 15: (4, 6, 5)}.get(len(digits), (4, 4, 4, len(digits) - 12))
    grouped = gap.join(digits[sum(groups[:i]) : sum(groups[: i + 1])] for i in range(len(groups)))
    can_be_grouped = len(digits) <= 16
    value = draw(st.sampled_from([digits, int(digits), *([grouped] if can_be_grouped else [])]))
    return Planted(value, (digits, grouped))


@st.composite
def social_security_numbers(draw: st.DrawFn) -> Planted:
    parts = (st.integers(1, 899), st.integers(1, 99), st.integers(1, 9999))
    number = "{:03}-{:02}-{:04}".format(*(draw(part) for part in parts))
    if not ssn.is_valid(number):
        number = "123-45-6789"
    written = number.replace("-", draw(st.sampled_from("- \u2013")))
    return Planted(written, (written,))


@st.composite
def account_numbers(draw: st.DrawFn) -> Planted:
    country, form = draw(st.sampled_from(ACCOUNTS))
    body = "".join(draw(st.text(alphabet, min_size=size, max_size=size)) for alphabet, size in form)
    number = country + iban.calc_check_digits(f"{country}00{body}") + body
    grouped = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return Planted(draw(st.sampled_from([number, grouped])), (number, grouped))


@st.composite
def passwords(draw: st.DrawFn) -> Planted:
    password = "Zq" + draw(st.text(string.ascii_letters + "!$%-_", min_size=10, max_size=14))
    name = draw(st.sampled_from([*ANYWHERE, *ALONE]))
    spelling = draw(st.sampled_from([name, name.upper(), name.replace("_", "-")]))
    way = draw(st.sampled_from(["field", "address", "form", "json"]))
    match way:
        case "field":
            return Planted(draw(st.sampled_from([password, [password], {"v": password}])), (password,), spelling)
        case "address":
            return Planted(f"https://shop.example/?a=1&{spelling}={password}&b=2", (password,))
        case "form":
            return Planted([{"name": spelling, "value": password}], (password,))
        case _:
            return Planted(f'{{"a": 1, "{spelling}": "{password}"}}', (password,))


@st.composite
def wrapped(draw: st.DrawFn, planted: Planted) -> Planted:
    """The same value, bare or within a text."""
    if planted.name is not None or not isinstance(planted.value, str):
        return planted
    before = draw(st.sampled_from(["", "my card: ", "x (", '"', "\n", "\u00e9 ", "a, "]))
    after = draw(st.sampled_from(["", " thanks", ")", '"', "\n", ", b", "."]))
    return planted._replace(value=f"{before}{planted.value}{after}")


PLANTED: Final = st.one_of(cards(), social_security_numbers(), account_numbers(), passwords()).flatmap(wrapped)
PLACES: Final = st.sampled_from(["properties", "context", "context.page", "context.traits", "traits", ""])


@st.composite
def events(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[str, ...]]:
    """An event with some planted values, and what must not be seen of it again."""
    name = draw(st.sampled_from(["Coupon Entered", "Product Viewed", "Order Completed"]))
    raw: dict[str, Any] = {"type": "track", "event": name, "messageId": "m-1", "properties": {"price": 1, "sku": "a"}}
    raw["context"] = {"traits": {"email": EMAIL}}
    traces: list[str] = []
    for planted in draw(st.lists(PLANTED, min_size=1, max_size=3)):
        traces += planted.traces
        at: Any = raw
        for step in filter(None, draw(PLACES).split(".")):
            at = at.setdefault(step, {})
        for _ in range(draw(st.integers(0, 3))):
            inner: dict[str, Any] = {}
            at[draw(NAMES)] = draw(st.sampled_from([inner, [inner], ["a", [inner]]]))
            at = inner
        if planted.name is None and isinstance(planted.value, str) and draw(st.booleans()):
            at[planted.value] = 1  # as a name
        else:
            at[planted.name or draw(NAMES)] = planted.value
    if draw(st.booleans()) and (planted := draw(cards())):
        raw["event"] = f"Paid with {planted.value}"
        traces += planted.traces
    return raw, tuple(traces)


async def everything_kept_and_said(raw: dict[str, Any]) -> str:
    """What is written to Redis for this event, what the tracker is told, what is counted and what is logged."""
    intake = open_intake()
    logged: list[MutableMapping[str, Any]]
    with structlog.testing.capture_logs() as logged:
        async with intake.http:
            alone = await intake.post("/v1/track", raw)
            among = await intake.post("/v1/batch", {"batch": [raw, {"type": "track"}], "context": raw["context"]})
    assert (alone.status_code, among.status_code) == (200, 200)
    assert len(intake.outbox.arrivals) == 2
    counted = [str(metric.samples) for metric in intake.registry.collect()]
    return intake.outbox.stored.decode() + alone.text + among.text + "".join(counted) + str(logged)


@examples(300)
@given(events())
def test_no_planted_value_is_seen_again(given: tuple[dict[str, Any], tuple[str, ...]]) -> None:
    raw, traces = given
    seen = asyncio.run(everything_kept_and_said(raw))
    assert [trace for trace in traces if trace in seen] == []


@pytest.mark.parametrize("value", ["4111 1111 1111 1111", "pass-me-not"])
async def test_without_the_guard_they_would_be_seen(value: str) -> None:
    """The test above looks in the right places."""
    raw = {"type": "track", "event": "Coupon Entered", "userId": value, "context": {"traits": {"email": EMAIL}}}
    assert value in await everything_kept_and_said(raw)
