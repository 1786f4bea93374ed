"""Repeated content is not sent: an identify call without anything new costs no call."""

from typing import Any

import httpx

from tests.stack import DESTINATION, Stack, message_id, wait_until

ATTRIBUTES = "/v2/user/attributes"
IDENTITY = "/v1/identity-resolution/user-identifiers"


class Person:
    """Somebody no other test knows."""

    def __init__(self, gateway: Stack) -> None:
        self.id = f"person-{message_id()}"
        self._gateway = gateway

    def identify(self, **traits: Any) -> httpx.Response:
        event = {"userId": self.id, "messageId": message_id(), "traits": {"email": f"{self.id}@example.com", **traits}}
        return self._gateway.post("/v1/identify", event)

    def told(self, path: str) -> list[dict[str, Any]]:
        return [call["body"] for call in self._gateway.ledger(contains=self.id) if call["path"] == path]

    def plans(self) -> list[str]:
        return [body["attributes"]["custom"]["plan"] for body in self.told(ATTRIBUTES)]


def settled(gateway: Stack) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)


def spared(gateway: Stack) -> float:
    return gateway.metrics()[f'gateway_calls_unchanged_total{{destination="{DESTINATION}"}}']


def test_an_identify_on_every_page_costs_one_call_of_each_kind(gateway: Stack) -> None:
    person, before, dropped = Person(gateway), spared(gateway), gateway.ended("dropped", "unchanged")
    for _ in range(5):
        assert person.identify(plan="gold").json() == {"success": True}
        settled(gateway)
    assert (len(person.told(IDENTITY)), person.plans()) == (1, ["gold"])
    assert spared(gateway) - before == 8
    assert gateway.ended("dropped", "unchanged") - dropped == 4


def test_what_changed_is_said_and_what_did_not_is_not(gateway: Stack) -> None:
    person = Person(gateway)
    for plan in ("gold", "silver", "gold"):
        person.identify(plan=plan)
        settled(gateway)
    assert person.plans() == ["gold", "silver", "gold"], "a change back is a change"
    assert len(person.told(IDENTITY)) == 1


def test_what_attentive_refused_is_said_again(gateway: Stack) -> None:
    person = Person(gateway)
    gateway.fault(kind="status", status=400, path=ATTRIBUTES, count=1)
    person.identify(plan="gold")
    settled(gateway)
    assert person.plans() == []
    person.identify(plan="gold")
    settled(gateway)
    assert person.plans() == ["gold"]


def test_what_still_waits_is_no_reason_to_be_silent(gateway: Stack) -> None:
    person = Person(gateway)
    gateway.fault(kind="status", status=503, path=ATTRIBUTES)
    person.identify(plan="gold")
    person.identify(plan="gold")
    wait_until(lambda: gateway.struck() > 1, "they are tried, and wait")
    gateway.heal()
    settled(gateway)
    assert person.plans() == ["gold", "gold"]
