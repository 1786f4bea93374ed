"""Which stored texts name a person, and which do not."""

from typing import Any, Final

import orjson
import pytest

from app.erasure.subject import Subject

ADA: Final = Subject.of(emails=["ada@example.com"], phones=["+14155550132"], user_ids=["customer-1042"])
SHORT: Final = Subject.of(user_ids=["42"], anonymous_ids=["7"])


def stored(content: Any) -> str:
    return orjson.dumps(content).decode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"user": {"email": "ada@example.com"}}, id="by the address"),
        pytest.param({"traits": {"email": " Ada@Example.COM "}}, id="by the address as people write it"),
        pytest.param({"properties": {"gift_to": "for ada@example.com, please"}}, id="by the address within a text"),
        pytest.param({"user": {"phone": "+14155550132"}}, id="by the number"),
        pytest.param({"traits": {"phone": "(415) 555-0132"}}, id="by the number without its country's code"),
        pytest.param({"traits": {"phone": "1-415-555-0132"}}, id="by the number with dashes"),
        pytest.param({"traits": {"phone": "001 415.555.0132"}}, id="by the number as called from abroad"),
        pytest.param({"traits": {"phone": 4155550132}}, id="by the number as a number in JSON"),
        pytest.param({"userId": "customer-1042"}, id="by the id"),
        pytest.param({"properties": {"url": "https://x.example/?c=customer-1042&d"}}, id="by a long id anywhere"),
    ],
)
def test_is_named(content: Any) -> None:
    assert ADA.named_in(stored(content))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"email": "nada@example.com"}, id="an address that ends alike"),
        pytest.param({"email": "ada@example.com.au"}, id="an address that begins alike"),
        pytest.param({"email": "x.ada@example.com"}, id="an address with a name before it"),
        pytest.param({"phone": "+14155550133"}, id="the next number"),
        pytest.param({"phone": "+441415 5550132"}, id="a number in another country"),
        pytest.param({"n": "914155550132"}, id="a longer number"),
        pytest.param({"userId": "customer-10421"}, id="an id that begins alike"),
        pytest.param({"userId": "customer-1042-b"}, id="an id that goes on after a dash"),
        pytest.param({"userId": "Customer-1042"}, id="an id in capitals is another's"),
        pytest.param({}, id="nobody"),
    ],
)
def test_is_not_named(content: Any) -> None:
    assert not ADA.named_in(stored(content))


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        pytest.param({"userId": "42"}, True, id="where ids stand"),
        pytest.param({"userId": 42}, True, id="as a number"),
        pytest.param({"a": {"userId": 42}}, True, id="at the end of an object"),
        pytest.param({"user": {"externalIdentifiers": {"clientUserId": "42"}}}, True, id="in a call"),
        pytest.param({"type": "alias", "previousId": "42"}, True, id="in an alias"),
        pytest.param({"anonymousId": "7"}, True, id="an anonymous id"),
        pytest.param({"userId": "421"}, False, id="in a longer id"),
        pytest.param({"userId": 420}, False, id="in a longer number"),
        pytest.param({"quantity": 42, "sku": "42"}, False, id="where other things stand"),
    ],
)
def test_a_short_id_counts_only_where_ids_stand(content: Any, verdict: bool) -> None:
    assert SHORT.named_in(stored(content)) is verdict


def test_an_id_with_quotes_is_found_as_json_writes_it() -> None:
    assert Subject.of(user_ids=['a"b\\c']).named_in(stored({"userId": 'a"b\\c'}))


def test_nobody_is_named_by_nothing() -> None:
    assert not Subject()
    assert not Subject().named_in(stored({"userId": ""}))


def test_a_user_id_that_is_an_address_or_a_number_counts_as_both() -> None:
    subject = Subject.of(user_ids=["Ada@Example.com", "+14155550132"])
    assert subject.emails == frozenset({"ada@example.com"})
    assert subject.phones == frozenset({"+14155550132"})


def test_the_stored_form_is_read_again() -> None:
    assert Subject.from_json(ADA.to_json()) == ADA
    assert "ada" not in repr(ADA)


def test_attentive_is_asked_about_all_that_is_known() -> None:
    two = ADA | Subject.of(emails=["b@example.com"])
    assert two.unsubscribe_bodies() == [
        {"user": {"phone": "+14155550132", "email": "ada@example.com"}, "notification": {"disabled": True}},
        {"user": {"email": "b@example.com"}, "notification": {"disabled": True}},
    ]
    assert two.delete_bodies("why") == [
        {
            "subjectEmail": "ada@example.com",
            "subjectPhone": "+14155550132",
            "clientUserId": "customer-1042",
            "requestMsg": "why",
        },
        {"subjectEmail": "b@example.com", "requestMsg": "why"},
    ]
    assert SHORT.unsubscribe_bodies() == []
