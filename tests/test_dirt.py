"""Events full of what real senders write by mistake: whatever comes of one harms no person and no figure."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson
import phonenumbers
from hypothesis import given
from hypothesis import strategies as st

from app.config.destination import Destination
from app.identity.enrichment import profile_asked_for
from app.mapping.money import DEFAULT_CURRENCY, SHARED_SYMBOLS, SYMBOLS
from app.pipeline import Drop, Erase, Fail, Forward, Known, Plan, decide, read
from app.segment.events import InvalidEvent
from app.segment.placeholders import is_placeholder
from app.wiring.gateway import plan_of
from tests.builders import NOW, Raw
from tests.generated import examples

ADA: Final = {"email": "ada@shop.example", "phone": "+14155550132", "id": "u-7"}
NO_IDS: Final = [
    "undefined",
    "null",
    "",
    "guest",
    "0",
    0,
    -1,
    "(null)",
    "N/A",
    "{{ user.id }}",
    "0" * 32,
    1e20,
    "[object Object]",
]
NO_EMAILS: Final = [*NO_IDS, "null@null.com", "none@none.com", "noemail@shop.example", "test@test.com", "ada@"]
NO_PHONES: Final = [*NO_IDS, "000-000-0000", "5555555555", "1234567890", "9999999999", "07 64 01 94 08", 4.9151e12]
PHONES: Final = [ADA["phone"], 14155550132.0, "4155550132.0", "1.4155550132E10", "(415) 555-0132", "0014155550132"]
HOURS_AGO: Final = st.integers(0, 23)


def written(moment: datetime) -> st.SearchStrategy[Any]:
    """A moment as somebody writes it."""
    text, seconds = moment.strftime("%Y-%m-%dT%H:%M:%S"), int(moment.timestamp())
    return st.sampled_from(
        [
            *(
                f"{text}Z",
                f"{text}z",
                f"{text}.000+00:00",
                f"{text}+00:00[Europe/London]",
                text.replace("T", " ") + " UTC",
            ),
            *(text.replace("T", " ") + ".000 +0000", moment.strftime("%a, %d %b %Y %H:%M:%S GMT"), str(seconds)),
            *(moment.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"), seconds, seconds * 1000),
            *(seconds * 10**6, seconds * 10**9, moment.strftime("%Y%m%d%H%M%S"), int(moment.strftime("%Y%m%d%H%M%S"))),
        ]
    )


DOLLARS: Final = frozenset(SYMBOLS["$"])
KRONOR: Final = frozenset(SHARED_SYMBOLS["kr"])
# What a field for the currency holds, and which currencies its writer can mean by it; None: it states nothing.
STATED: Final[list[tuple[Any, frozenset[str] | None]]] = [
    *((None, None), (None, None), ("", None), ([], None), ({}, None)),
    *(("EUR", frozenset({"EUR"})), (" cad", frozenset({"CAD"})), ("\u20ac", frozenset({"EUR"}))),
    *(("kr", KRONOR), ("$", DOLLARS), ("dollars", DOLLARS), ("US dollars", frozenset({"USD"}))),
    *((978, frozenset({"EUR"})), ("752", frozenset({"SEK"})), ("coins", frozenset()), (True, frozenset())),
]


def prices(cents: int) -> list[tuple[Decimal, Any, frozenset[str] | None]]:
    """An amount as somebody writes it, with the currencies that the text itself can mean."""
    amount, plain = Decimal(cents) / 100, f"{cents / 100:.2f}"
    commas = f"{cents / 100:,.2f}"
    whole = Decimal(cents)
    return [
        *((amount, each, None) for each in (plain, commas, cents / 100, f"{plain}00", f"+{plain}", f" {plain} ")),
        *((amount, each, None) for each in (f"({plain})", f"{plain}-", f"from {plain}", f"{plain} / {plain}")),
        *((amount, f"{sign}{commas}", DOLLARS) for sign in ("$", "3 for $", "-$", "$ ")),
        (amount, f"USD ${commas}", frozenset({"USD"})),
        (amount, f"{commas} $ CA", frozenset({"CAD"})),
        (amount, f"CHF {commas}".replace(",", "\u2019"), frozenset({"CHF"})),
        (amount, f"{commas} \u20ac".replace(",", " ").replace(".", ","), frozenset({"EUR"})),
        (amount, f"\u00a3{plain}", frozenset(SYMBOLS["\u00a3"])),
        (amount, f"{plain} kr".replace(".", ","), KRONOR),
        (amount, {"amount": plain, "currencyCode": "CAD"}, frozenset({"CAD"})),
        (amount, {"amount": cents, "currency": "usd"}, frozenset({"USD"})),
        (whole, f"{cents:,}", None),
        (whole, f"{cents:,} \u20ac".replace(",", "."), frozenset({"EUR"})),
        (whole, f"${cents:,}", DOLLARS),
        (whole, f"{cents},-", None),
    ]


class Truth(NamedTuple):
    """What the writer of an event means."""

    latest: datetime  # the event happened, as far as anybody can know
    amount: Decimal
    currencies: frozenset[str]  # in one of these


BOB: Final = {"email": "bob@other.example", "phone": "+14155550199"}
# Texts with a second person in them, or one who is not Ada, where Ada's e-mail address is given too.
OTHERS: Final = [BOB["email"], BOB["email"].upper(), BOB["phone"], "+1 (415) 555-0199"]
DESTINATION: Final = {
    "api_token": "x",
    "identifiers": {"custom": {"username": "traits.username", "card": ["traits.card", "externalId.card"]}},
    "mapping": {"events": {"Order Updated": {"to": "custom-event", "occurredAt": "properties.ordered_at"}}},
    "subscriptions": {"opt_in": [{"event": "Newsletter Joined", "sign_up_source": "1"}]},
}
PLAN: Final[Plan] = plan_of(Destination.model_validate(DESTINATION))
AMOUNTS: Final = st.integers(0, 10**8).flatmap(lambda cents: st.sampled_from(prices(cents)))


@st.composite
def moments(draw: st.DrawFn) -> tuple[Raw, datetime]:
    """The times of an event, by a clock that may be wrong, and the latest that it can have happened."""
    occurred = NOW.replace(microsecond=0) - timedelta(hours=draw(HOURS_AGO))
    off = draw(st.sampled_from([timedelta(0)] * 3 + [timedelta(days=-2), timedelta(hours=3), timedelta(days=183_724)]))
    stated = draw(st.one_of(written(occurred + off), st.sampled_from([None, 0, "0001-01-01T00:00:00Z"])))
    sent = draw(
        st.sampled_from([None, (NOW + off).isoformat(), "0001-01-01T00:00:00Z", "soon", "2529-03-01T12:00:00Z"])
    )
    times: Raw = {"timestamp": stated, "sentAt": sent, "ordered_at": draw(written(occurred + off))}
    times["originalTimestamp"] = draw(st.sampled_from([None, None, (occurred + off).isoformat()]))
    times["receivedAt"] = draw(st.sampled_from([None, None, NOW.isoformat()]))
    by_our_clock = off == timedelta(0) or (
        sent == (NOW + off).isoformat() and times["originalTimestamp"] is times["receivedAt"] is None
    )
    return times, occurred if by_our_clock and stated not in (None, 0, "0001-01-01T00:00:00Z") else NOW


def usually(right: list[Any], wrong: list[Any]) -> st.SearchStrategy[Any]:
    """Each as often as the other, however many there are of either."""
    return st.one_of(st.sampled_from(right), st.sampled_from(wrong))


@st.composite
def people(draw: st.DrawFn) -> Raw:
    """Identifiers of Ada, and, as long as her address is given, what may be another person's."""
    email = draw(usually([ADA["email"], " ADA@Shop.example "], NO_EMAILS))
    wrong = st.sampled_from(NO_IDS) if email in NO_EMAILS else usually(NO_IDS, OTHERS)
    traits = {
        "email": email,
        "phone": draw(usually(PHONES, [*NO_PHONES, f"{ADA['phone']} / {BOB['phone']}"])),
        "username": draw(st.one_of(st.just("ada"), wrong)),
        "card": draw(st.one_of(st.sampled_from([None, "77.0", 77]), wrong)),
        "shopify_id": draw(st.one_of(st.sampled_from([5551001.0, "5551001.00"]), wrong)),
        "klaviyo_id": draw(st.one_of(st.none(), wrong)),
    }
    if draw(st.integers(0, 3)) == 0:  # a tracker that keeps the traits of Bob, who was signed in before
        own = draw(st.sampled_from([{"email": ADA["email"]}, *({"phone": phone} for phone in PHONES)]))
        return {"userId": draw(st.sampled_from([ADA["id"], *NO_IDS])), "traits": own, "context": {"traits": dict(BOB)}}
    external = [{"type": "shopifyId", "id": draw(st.one_of(st.just("5551001"), wrong))}]
    return {
        "userId": draw(st.one_of(st.sampled_from([ADA["id"], *PHONES[:1], ADA["email"]]), wrong)),
        "anonymousId": draw(st.sampled_from(["b-1", *NO_IDS])),
        "previousId": BOB["email"],
        "context": {"traits": traits, "externalId": draw(st.sampled_from([None, [], external]))},
    }


@st.composite
def dirty_events(draw: st.DrawFn) -> tuple[Raw, Truth]:
    """An event about Ada, as far as it is about anybody, and what its writer means."""
    times, latest = draw(moments())
    amount, price, own = draw(AMOUNTS)
    (product_currency, nearest), (event_currency, next_to_it) = (
        draw(st.sampled_from(STATED)),
        draw(st.sampled_from(STATED)),
    )
    product = {
        "product_id": draw(st.sampled_from(["P1", 6798.0, 6798, "6798.0"])),
        "price": price,
        "currency": product_currency,
        "quantity": draw(st.sampled_from([1, "2.0000", "2,0", 1.5, 0, "0"])),
    }
    name = draw(st.sampled_from(["Product Viewed", "Order Updated", "Order Completed", "Newsletter Joined"]))
    is_order = name != "Product Viewed"
    order = {
        "currency": event_currency,
        "revenue": price,
        "products": [product, draw(st.sampled_from([None, 7, {}, {"price": "5"}, product]))],
        "coupon": draw(st.sampled_from(["A", "", " ", [], {}, ["A", "B"], None])),
        "ordered_at": times.pop("ordered_at"),
    }
    stated = (own, nearest, next_to_it) if is_order else (own, nearest)
    raw: Raw = {
        **draw(people()),
        **times,
        "type": draw(st.sampled_from(["track", "track", "identify"])),
        "event": name,
        "messageId": draw(st.sampled_from(["m-1", "undefined", 7.0])),
        "properties": order if is_order else product,
        "integrations": draw(st.sampled_from([None, {}, [], {"All": True}, {"Braze": False}])),
    }
    # Of a word that is no currency nothing is known: then the next one counts, and if there is none, no currency does.
    meant: frozenset[str] | None = next(
        (each for each in stated if each), frozenset() if any(each is not None for each in stated) else None
    )
    return raw, Truth(latest, amount, frozenset({DEFAULT_CURRENCY}) if meant is None else meant)


@examples(500)
@given(dirty_events(), st.booleans())
def test_an_event_full_of_dirt_harms_nobody(given: tuple[Raw, Truth], is_known: bool) -> None:
    raw, truth = given
    try:
        reading = read(raw, orjson.dumps(raw), PLAN)
    except InvalidEvent:
        return
    asks = is_known and profile_asked_for(reading.event, PLAN.identity, PLAN.profiles) is not None
    profile = {"email": ADA["email"], "phone": ADA["phone"]} if asks else {}
    decision = decide(reading, PLAN, source="shop", received_at=NOW, known=Known(profile=profile))
    match decision:
        case Drop() | Fail():
            assert decision.notes or decision.reason in ("no_identity", "no_content", "too_old")
        case Forward(deliveries=deliveries):
            for delivery in deliveries:
                body = orjson.loads(delivery.body)
                _check_person(body)
                if "occurredAt" in body:
                    assert datetime.fromisoformat(body["occurredAt"]).astimezone(UTC) <= truth.latest
                _check_amounts(body, truth)
        case Erase():
            raise AssertionError("nobody asked for an erasure")


def _check_person(body: dict[str, Any]) -> None:
    """A call of any kind is about Ada alone, and about nobody by a placeholder."""
    named = body.get("user") or body.get("identifiers") or body
    named = {**named, **named.get("externalIdentifiers", {})}
    assert named.get("email") in (None, ADA["email"])
    assert named.get("phone") in (None, ADA["phone"])
    assert named.get("clientUserId") in (None, ADA["id"])
    assert named.get("shopifyId") in (None, "5551001")
    assert named.get("klaviyoId") is None
    assert {pair["value"] for pair in named.get("customIdentifiers", [])} <= {"ada", "77"}
    assert not any(is_placeholder(str(value)) for value in named.values())
    if "phone" in named:
        assert phonenumbers.is_valid_number(phonenumbers.parse(named["phone"]))


def _check_amounts(body: dict[str, Any], truth: Truth) -> None:
    """What is sent is the amount of the text, in a currency that is meant."""
    properties = body.get("properties", {})
    assert "" not in properties.values()
    if isinstance(properties.get("revenue"), int | float):
        assert Decimal(str(properties["revenue"])) == truth.amount
    for item in body.get("items", ()):
        (price,) = item["price"]
        assert price["currency"] in truth.currencies
        assert Decimal(str(price["value"])) == truth.amount
        assert item["productId"] in ("P1", "6798")
        assert item.get("quantity") in (None, 1, 2)
