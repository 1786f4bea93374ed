"""An attribute keeps its type: one bad value costs neither what comes beside it nor the attribute itself."""

import re
from typing import Any

from tests.stack import DESTINATION, Stack, message_id, wait_until

ATTRIBUTES = "/v2/user/attributes"


def identify(gateway: Stack, person: str, **traits: Any) -> str:
    event = {"userId": person, "messageId": message_id(), "traits": {"email": f"{person}@example.com", **traits}}
    assert gateway.post("/v1/identify", event).json() == {"success": True}
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)
    return str(event["messageId"])


def test_a_value_of_another_type_is_left_out_alone_until_the_attribute_is_forgotten(gateway: Stack) -> None:
    person, name = f"person-{message_id()}", f"score {message_id()[-6:]}"

    def told() -> list[dict[str, Any]]:
        calls = gateway.ledger(contains=person)
        return [call["body"]["attributes"]["custom"] for call in calls if call["path"] == ATTRIBUTES]

    identify(gateway, person, **{name: 24, "tier": "gold"})
    odd = identify(gateway, person, **{name: "many", "tier": "silver"})
    identify(gateway, person, **{name: 25, "tier": "silver"})
    assert told() == [{name: 24, "tier": "gold"}, {"tier": "silver"}, {name: 25, "tier": "silver"}]
    assert f"'{name}' is a number in this account, here it is a string, left out" in gateway.run("trace", odd).stdout

    labels = f'attribute="{name}",destination="{DESTINATION}",reason="type"'
    assert gateway.metrics()[f"gateway_attributes_left_out_total{{{labels}}}"] == 1
    assert gateway.metrics()[f'gateway_attributes{{destination="{DESTINATION}"}}'] >= 2
    (row,) = [line for line in gateway.run("attributes", "list").stdout.splitlines() if name in line]
    assert re.split(" {2,}", row.strip()) == [name, "number", "1"]

    assert gateway.run("attributes", "forget", name).stdout == f"{DESTINATION}: {name} is forgotten.\n"
    assert gateway.run("attributes", "forget", name).returncode == 1
    wait_until(lambda: name not in gateway.run("attributes", "list").stdout, "it is gone from the list")
