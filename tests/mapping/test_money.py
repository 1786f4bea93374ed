"""Amounts of money: read whole, or not at all."""

import unicodedata
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mapping.converters import to_quantity
from app.mapping.money import CURRENCIES, SHARED_SYMBOLS, SYMBOLS, Money, to_amount, to_currency, to_money
from tests.generated import examples

AMOUNTS: Final = [
    pytest.param(19.99, 19.99, id="a number"),
    pytest.param(20, 20, id="a whole number"),
    pytest.param(0, 0, id="nothing to pay"),
    pytest.param("19.99", 19.99, id="a number as text"),
    pytest.param(" 19.99 ", 19.99, id="with blanks around it"),
    pytest.param("$1,299.00", 1299.0, id="with a sign and a comma for thousands"),
    pytest.param("1.299,00 €", 1299.0, id="as Germans write it"),
    pytest.param("1.299 €", 1299.0, id="as Germans write it, without cents"),
    pytest.param("1 299,00 kr", 1299.0, id="as Swedes write it"),
    pytest.param("1'299.00", 1299.0, id="as the Swiss write it"),
    pytest.param("CHF 1\u2019299.50", 1299.5, id="as the Swiss write it, with a typographic apostrophe"),
    pytest.param("12,34,567.00", 1234567.0, id="as Indians write it"),
    pytest.param("1,299", 1299.0, id="with a comma for thousands alone"),
    pytest.param("1,234,567.890", 1234567.89, id="with three decimals beside thousands"),
    pytest.param("1\u00a0299,50\u202f€", 1299.5, id="with blanks of other widths"),
    pytest.param(",89 €", 0.89, id="below one"),
    pytest.param("19,-", 19.0, id="with a dash for no cents"),
    pytest.param("Rs.500", 500.0, id="with a symbol that ends in a point"),
    pytest.param("USD 5", 5.0, id="with its currency"),
    pytest.param("0.00", 0.0, id="zero as text"),
    pytest.param("129.9500", 129.95, id="with four decimals, as shops export it"),
    pytest.param("129.950", 129.95, id="with three decimals, as shops export it"),
    pytest.param("0.125", 0.125, id="an eighth"),
    pytest.param("1e2", 100.0, id="as a machine may write a hundred"),
    pytest.param("\u0661\u0669\u066b\u0669\u0669", 19.99, id="in Arabic digits"),
    pytest.param("\uff11\uff19\uff0e\uff19\uff19", 19.99, id="in wide digits"),
    pytest.param("\u0967\u096f", 19.0, id="in Devanagari digits"),
]
NO_AMOUNTS: Final[list[Any]] = [
    *("free", "", " ", "n/a", "$", "-5", "-$5", "$-5", "$ -5", "USD -5", "\u22125", "NaN", "Infinity", "9" * 400),
    *("(19.99)", "5.00-", "3 for $10.00", "from $5", "$5 EUR", "10-20", "1.2.3", "1,23,4", "1,,5", "1 2", "5 $ 3"),
    *("1\u00b2", "\u00bd", "$1.299", "1,299 KWD", "1e400", "1" * 16, "19.99 incl. VAT", "9" * 32_000, "1," * 16_000),
    *("USD $5 CAD", "USD EUR 5", "US 5", "$ 5 off", "USD-$5", "5 dollars EUR", "$5$ 3"),
    *(None, True, False, [], {}, [5], {"value": 5}, -1, -0.01, float("inf"), float("nan")),
    *({"amount": 1999, "precision": 2}, {"amount": 5, "currency": "EUR", "currencyCode": "USD"}, {"amount": {}}),
    *({"amount": 1999, "currency": "USD"}, {"amount": 1999, "Currency": "usd"}),
    *({"amount": "$5", "currencyCode": "EUR"}, {"amount": 5, "currencyCode": "dollars"}, {"amount": True}),
]


@pytest.mark.parametrize(("given", "expected"), AMOUNTS)
def test_an_amount(given: Any, expected: float) -> None:
    assert to_amount(given) == expected


@pytest.mark.parametrize("given", NO_AMOUNTS)
def test_no_amount(given: Any) -> None:
    assert to_amount(given) is None


@pytest.mark.parametrize(
    ("given", "stated", "currency"),
    [
        pytest.param("5", None, "USD", id="Attentive's default, where nothing is stated"),
        pytest.param("5", "EUR", "EUR", id="the stated one"),
        pytest.param("£5", None, "GBP", id="that of its symbol"),
        pytest.param("$5", None, "USD", id="the usual one of its symbol"),
        pytest.param("$5 CAD", None, "CAD", id="the one that symbol and code agree on"),
        pytest.param("5 chf", None, "CHF", id="that of its code in any case"),
        pytest.param("USD $5", None, "USD", id="that of its code and its symbol"),
        pytest.param("US $5", None, "USD", id="that of a symbol with a blank in it"),
        pytest.param("$5 US", None, "USD", id="that of a symbol around the amount"),
        pytest.param("$USD 5", None, "USD", id="that of its code and its symbol, without a blank"),
        pytest.param("CAD$5 CAD", None, "CAD", id="that of its code, which is there twice"),
        pytest.param("5 Canadian dollars", None, "CAD", id="that of its name"),
        pytest.param("5 dollars", None, None, id="not known, where a name means several"),
        pytest.param("5 Dollars", "CAD", "CAD", id="the stated one of those that share a name"),
        pytest.param("R 5", None, None, id="not known, where a letter stands for it"),
        pytest.param("R 5 ZAR", None, "ZAR", id="that of its code beside a letter"),
        pytest.param("¥5", "CNY", "CNY", id="the stated one of those that share a symbol"),
        pytest.param("¥5", None, None, id="not known, where several share a symbol"),
        pytest.param("5 €", "CHF", "EUR", id="that of its symbol, whatever else is stated"),
        pytest.param("$5", "EUR", None, id="not known, where a symbol of several contradicts it"),
        pytest.param("1.299", "USD", "USD", id="the stated one, where a point stands before decimals"),
        pytest.param("1.299", "EUR", None, id="not known to be 1.299, where a point may stand between thousands"),
        pytest.param("0.299", "EUR", "EUR", id="the stated one, where nothing stands before a point"),
        pytest.param("129.9500", "EUR", "EUR", id="the stated one, where a point cannot stand between thousands"),
        pytest.param({"amount": "5.00", "currency_code": "eur"}, None, "EUR", id="that of its object"),
    ],
)
def test_its_currency_is(given: Any, stated: str | None, currency: str | None) -> None:
    money = to_money(given)
    assert money is not None
    assert money.currency(stated) == currency


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (" eur ", "EUR"),
        ("€", "EUR"),
        ("US$", "USD"),
        ("$", None),
        ("kr", None),
        ("euros", "EUR"),
        ("US  Dollars", "USD"),
        ("dollars", None),
        ("978", None),
        (978, None),
        ("ABC", None),
        (7, None),
    ],
)
def test_a_currency(given: Any, code: str | None) -> None:
    assert to_currency(given) == code


@pytest.mark.parametrize(
    ("given", "quantity"),
    [
        *((2, 2), (2.0, 2), ("2", 2), ("2.0000", 2), ("2.0", 2), ("2,0", 2), (" 3 ", 3), ("\u0662", 2)),
        *((1.85, None), ("1.5", None), (0, None), ("0", None), (-1, None), ("-1", None), ("2,000", None), (True, None)),
        *((2**63, None), ("9" * 5000, None), ("$2", None), ("two", None), ([2], None), (1e300, None)),
    ],
)
def test_a_quantity(given: Any, quantity: int | None) -> None:
    assert to_quantity(given) == quantity


def test_symbols_name_currencies_that_exist() -> None:
    assert {code for codes in (*SYMBOLS.values(), *SHARED_SYMBOLS.values()) for code in codes} <= CURRENCIES
    assert SYMBOLS.keys().isdisjoint(SHARED_SYMBOLS)


STYLES: Final = st.tuples(
    st.sampled_from([",", ".", "'", "\u2019", " ", "\u00a0", ""]), st.sampled_from([".", ","])
).filter(lambda style: style[0] != style[1])
MARKS: Final = st.sampled_from(["", "$", "€", "£", "USD ", "CHF ", "kr ", "Rs. "])


@examples(500)
@given(
    cents=st.integers(0, 10**11), style=STYLES, before=MARKS, after=MARKS, zero=st.sampled_from("0\u0660\u0966\uff10")
)
def test_what_is_read_is_what_was_written(
    cents: int, style: tuple[str, str], before: str, after: str, zero: str
) -> None:
    """In every style of writing: the amount of the text, or none."""
    amount = Decimal(cents) / 100
    group, point = style
    text = f"{amount:,.2f}".replace(",", "\0").replace(".", point).replace("\0", group)
    text = before + "".join(chr(ord(zero) + int(each)) if each.isdecimal() else each for each in text) + after
    money = to_money(text)
    assert money is None or Decimal(str(money.amount)) == amount
    assert money is not None or (before and after)


@examples(500)
@given(st.text(st.sampled_from("0123456789.,' -()$€kr\u0663\u00bd\uff15eE+xfor"), max_size=24))
def test_no_digit_is_passed_over(text: str) -> None:
    money = to_money(text)
    if money is None:
        return
    digits = "".join(str(unicodedata.decimal(each)) for each in text if each.isdecimal())
    assert isinstance(money, Money)
    if "e" not in text.lower():
        assert Decimal(digits).normalize().as_tuple().digits == Decimal(str(money.amount)).normalize().as_tuple().digits
