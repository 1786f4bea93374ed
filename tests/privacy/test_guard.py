"""What the guard does with an event: the actions, the lists, and what it leaves alone."""

import copy
from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest

from app.privacy.guard import Guard, Inspected
from app.privacy.policy import BY_DEFAULT, Action, Check, Policy
from tests.builders import EMAIL, PHONE, Raw, identify, track

CARD: Final = "4111 1111 1111 1111"
SSN: Final = "123-45-6789"
IBAN: Final = "DE89370400440532013000"


def inspected(raw: Any, policy: Policy | None = None) -> Inspected:
    return Guard(policy).inspect(raw, orjson.dumps(raw))


def doing(**actions: Action) -> Policy:
    return Policy(actions={**BY_DEFAULT, **{Check(name): action for name, action in actions.items()}})


def test_an_event_without_anything_to_withhold_is_kept_as_it_came() -> None:
    raw = track("Product Viewed", {"price": 12.5, "colours": ["red", None]}, userId="7")
    json = orjson.dumps(raw)
    found = Guard().inspect(raw, json)
    assert found.event is raw
    assert found.json is json
    assert found.findings == ()


def test_what_it_is_given_is_never_changed() -> None:
    raw = track("x", {"note": CARD, "inner": {"password": "hunter2", "list": [CARD]}})
    before = copy.deepcopy(raw)
    assert inspected(raw).event != raw
    assert raw == before


def test_it_looks_everywhere() -> None:
    raw = track(f"Paid with {CARD}", {"note": CARD}, somewhere={"else": [CARD]}, timestamp=CARD)
    raw["context"] |= {"page": {"title": CARD}, "traits": {"email": EMAIL, "note": CARD}}
    found = inspected(raw)
    assert b"4111" not in found.json
    assert orjson.loads(found.json) == found.event
    assert found.event["event"] == "Paid with REDACTED"
    paths = ("event", "timestamp", "context.page.title", "context.traits.note", "properties.note", "somewhere.else")
    assert sorted(map(str, found.findings)) == sorted(f"{path}: a card number, redacted" for path in paths)


@pytest.mark.parametrize(
    ("action", "properties"),
    [
        pytest.param(Action.OFF, {"note": f"a {CARD}", "many": [CARD, "b"], "n": 1}, id="off"),
        pytest.param(Action.REDACT, {"note": "a REDACTED", "many": ["REDACTED", "b"], "n": 1}, id="redact"),
        pytest.param(Action.DROP_FIELD, {"many": ["b"], "n": 1}, id="drop the field"),
        pytest.param(Action.DROP_EVENT, {"note": "a REDACTED", "many": ["REDACTED", "b"], "n": 1}, id="drop the event"),
    ],
)
def test_a_number_is(action: Action, properties: Raw) -> None:
    raw = track("x", {"note": f"a {CARD}", "many": [CARD, "b"], "n": 1})
    found = inspected(raw, doing(card_number=action))
    assert found.event["properties"] == properties
    assert {finding.action for finding in found.findings} == (set() if action is Action.OFF else {action})


def test_each_check_has_its_own_action() -> None:
    raw = track("x", {"card": CARD, "tax": SSN, "bank": IBAN, "pwd": "hunter2"})
    found = inspected(raw, doing(card_number=Action.OFF, iban=Action.DROP_FIELD, secret=Action.DROP_EVENT))
    assert found.event["properties"] == {"card": CARD, "tax": "REDACTED", "pwd": "REDACTED"}
    assert [str(finding) for finding in found.findings] == [
        "properties.tax: a US social security number, redacted",
        "properties.bank: a bank account number, left out",
        "properties.pwd: named like a secret, the event is dropped",
    ]


def test_the_events_own_fields_are_redacted_where_others_are_dropped() -> None:
    found = inspected(track(f"Paid {CARD}"), doing(card_number=Action.DROP_FIELD))
    assert found.event["event"] == "Paid REDACTED"


def test_guarding_twice_finds_nothing_more() -> None:
    raw = track("x", {"note": CARD, "pwd": "hunter2", CARD: 1, "url": "/?password=x", "json": '{"pin": "1"}\\'})
    once = inspected(raw)
    assert len(once.findings) == 5
    assert inspected(once.event).findings == ()


class TestIdentifiers:
    """A tenth of all long numbers pass for a card's. An id that is lost makes many people one."""

    @pytest.mark.parametrize("name", ["messageId", "userId", "anonymousId", "previousId", "groupId"])
    @pytest.mark.parametrize("value", ["4111111111111111", 4111111111111111, SSN])
    def test_ids_are_kept(self, name: str, value: Any) -> None:
        assert inspected(track("x", {"n": CARD}, **{name: value})).event[name] == value

    def test_the_address_and_the_number_are_kept(self) -> None:
        traits = {"email": "4111111111111111@example.com", "phone": "4111111111111111", "n": CARD}
        assert inspected(identify(traits)).event["traits"] == {**traits, "n": "REDACTED"}
        assert inspected(track("x", context={"traits": traits})).event["context"]["traits"]["phone"] == traits["phone"]

    def test_custom_identifiers_are_kept(self) -> None:
        traits = {"loyalty": "4111111111111111", "other": "4111111111111111"}
        found = inspected(identify(traits), Policy(identifiers=("traits.loyalty",)))
        assert found.event["traits"] == {"loyalty": "4111111111111111", "other": "REDACTED"}

    def test_what_is_no_id_is_looked_into_wherever_it_stands(self) -> None:
        assert inspected(identify({"email": {"card": CARD}})).event["traits"] == {"email": {"card": "REDACTED"}}


class TestSecrets:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            pytest.param({"password": "hunter2"}, {"password": "REDACTED"}, id="text"),
            pytest.param({"pin": 1234}, {"pin": "REDACTED"}, id="a number"),
            pytest.param({"credit_card": {"no": 1}}, {"credit_card": "REDACTED"}, id="an object"),
            pytest.param({"a": [{"b": {"cvv": "123"}}]}, {"a": [{"b": {"cvv": "REDACTED"}}]}, id="deep inside"),
            pytest.param({"has_password": True}, {"has_password": True}, id="a yes tells nothing"),
            pytest.param({"password": ""}, {"password": ""}, id="a blank tells nothing"),
            pytest.param({"password": None}, {"password": None}, id="nothing tells nothing"),
            pytest.param(
                {"fields": [{"name": "Password", "value": "x1"}, {"name": "City", "value": "Rome"}]},
                {"fields": [{"name": "Password", "value": "REDACTED"}, {"name": "City", "value": "Rome"}]},
                id="a form, field by field",
            ),
            pytest.param({"name": "Pin", "value": 9.5}, {"name": "Pin", "value": 9.5}, id="a product named Pin"),
            pytest.param(
                {"url": "https://x.example/?a=1&password=hunter2&b=2#c"},
                {"url": "https://x.example/?a=1&password=REDACTED&b=2#c"},
                id="in an address",
            ),
            pytest.param({"search": "?access_token=abc"}, {"search": "?access_token=REDACTED"}, id="in a query"),
            pytest.param(
                {"body": '{"user": "ada", "password": "hunter 2"}'},
                {"body": '{"user": "ada", "password": "REDACTED"}'},
                id="in JSON within text",
            ),
            pytest.param({"url": "/?shipping=1&q=a=b"}, {"url": "/?shipping=1&q=a=b"}, id="a harmless address"),
            pytest.param({"event": "Password Reset"}, {"event": "Password Reset"}, id="a word is no secret"),
        ],
    )
    def test_by_name(self, given: Raw, kept: Raw) -> None:
        assert inspected(track("x", given)).event["properties"] == kept

    def test_a_later_event_is_looked_at_as_the_first(self) -> None:
        guard = Guard()
        for _ in range(3):
            for raw, found in ((track("x", {"size": 1}), 0), (track("x", {"size": 1, "pwd": "y"}), 1)):
                assert len(guard.inspect(raw, orjson.dumps(raw)).findings) == found


class TestLists:
    RAW: Final = track(
        "x",
        {
            "order_id": "A-1",
            "health": {"allergy": "x", "since": 2020},
            "products": [{"sku": "a", "gift_note": "b"}, {"sku": "c", "gift_note": "d"}],
        },
        context={"traits": {"email": EMAIL, "phone": PHONE, "religion": "x"}, "ip": "203.0.113.24", "locale": "en"},
    )

    def kept(self, deny: tuple[str, ...] = (), allow: tuple[str, ...] = (), **actions: Action) -> Mapping[str, Any]:
        policy = Policy(actions={**BY_DEFAULT, **{Check(n): a for n, a in actions.items()}}, deny=deny, allow=allow)
        event: Mapping[str, Any] = inspected(self.RAW, policy).event
        return event

    @pytest.mark.parametrize(
        ("deny", "gone"),
        [
            pytest.param("properties.health", {"health", "allergy", "since"}, id="a field, with all below it"),
            pytest.param("properties.health.*", {"allergy", "since"}, id="all below a field"),
            pytest.param("properties.products.gift_note", {"gift_note"}, id="a field of all things in a list"),
            pytest.param("properties.*.*_note", {"gift_note"}, id="stars, for a name and for a part of one"),
            pytest.param("traits.religion", {"religion"}, id="a trait, wherever traits stand"),
            pytest.param("context.traits.religion", {"religion"}, id="the same, by its other path"),
            pytest.param("context.ip", {"ip"}, id="a part of the context"),
            pytest.param("traits.email", {"email"}, id="even an identifier"),
            pytest.param("properties.healthy", set(), id="not what only begins alike"),
            pytest.param("traits.order_id", set(), id="not in another part"),
        ],
    )
    def test_a_denied_path_is_taken_out(self, deny: str, gone: set[str]) -> None:
        assert names_in(self.RAW) - names_in(self.kept((deny,))) == gone

    @pytest.mark.parametrize(
        ("allow", "left"),
        [
            pytest.param(("properties.order_id",), {"order_id"}, id="one field"),
            pytest.param(("properties.health",), {"health", "allergy", "since"}, id="a field with all below it"),
            pytest.param(("properties.products.sku",), {"products", "sku"}, id="a field of things in a list"),
            pytest.param(("properties.h*.since",), {"health", "since"}, id="with a star"),
            pytest.param(("properties.none",), set(), id="nothing that is there"),
        ],
    )
    def test_an_allow_list_lets_nothing_else_pass(self, allow: tuple[str, ...], left: set[str]) -> None:
        assert names_in(self.kept(allow=allow)["properties"]) == left

    def test_an_allow_list_restricts_only_the_parts_that_it_names(self) -> None:
        kept = self.kept(allow=("properties.order_id",))
        assert kept["context"] == self.RAW["context"]

    def test_an_identifier_that_lies_deeper_passes_too(self) -> None:
        policy = Policy(allow=("traits.first_name",), identifiers=("traits.loyalty.card",))
        found = inspected(identify({"loyalty": {"card": "7", "tier": "gold"}, "age": 7}), policy)
        assert found.event["traits"] == {"loyalty": {"card": "7"}}

    def test_who_it_is_always_passes_an_allow_list(self) -> None:
        kept = self.kept(allow=("traits.first_name",))
        assert kept["context"]["traits"] == {"email": EMAIL, "phone": PHONE}

    def test_an_allow_list_of_the_context_leaves_the_traits(self) -> None:
        kept = self.kept(allow=("context.locale",))
        assert kept["context"] == {"traits": self.RAW["context"]["traits"], "locale": "en"}

    def test_the_lists_have_actions_too(self) -> None:
        kept = self.kept(("properties.health",), denied=Action.REDACT)
        assert kept["properties"]["health"] == "REDACTED"
        assert self.kept(("properties.health",), denied=Action.OFF) == self.RAW

    def test_what_an_allow_list_lets_pass_is_looked_at_all_the_same(self) -> None:
        found = inspected(track("x", {"note": CARD}), Policy(allow=("properties.note",)))
        assert found.event["properties"] == {"note": "REDACTED"}


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")], ids=["objects", "lists"])
@pytest.mark.parametrize("depth", [100, 250])
def test_depth_is_no_way_past_it(opening: str, closing: str, depth: int) -> None:
    raw = track("x", {"deep": orjson.loads(opening * depth + f'"{CARD}"' + closing * depth)})
    assert b"4111" not in inspected(raw).json


@pytest.mark.parametrize("deny", ["properties.*.*.health", "properties.other"])
def test_what_lies_below_a_path_too_long_to_be_judged_is_denied_where_anything_is(deny: str) -> None:
    raw = track("x", {"a" * 2_000: {"b": {"health": "x"}}, "note": "kept"})
    assert inspected(raw, Policy(deny=(deny,))).event["properties"] == {"note": "kept"}


def test_the_path_of_a_finding_is_short_however_long_the_names_are() -> None:
    raw = track("x", {"a" * 2_000: {"b": [{"pin": "1234"}]}})
    found = inspected(raw)
    assert [(len(finding.path), finding.check) for finding in found.findings] == [(200, Check.SECRET)]
    assert found.event["properties"] == {"a" * 2_000: {"b": [{"pin": "REDACTED"}]}}


@pytest.mark.parametrize("raw", [None, 7, "text", [1], []])
def test_what_is_no_event_is_left_to_the_parser(raw: Any) -> None:
    assert inspected(raw).event is raw


def names_in(value: Any) -> set[str]:
    match value:
        case dict():
            return {*value, *(name for inner in value.values() for name in names_in(inner))}
        case list():
            return {name for inner in value for name in names_in(inner)}
        case _:
            return set()
