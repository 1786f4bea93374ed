"""Alerts in real processes: the worker evaluates, the gateway reports, and commands show both."""

import json

import redis

from app.store.keys import AlertKeys
from tests.stack import DESTINATION, SOURCE, Stack, message_id, wait_until


def test_a_running_gateway_is_watched(gateway: Stack) -> None:
    event = {"event": "Quiz", "messageId": message_id(), "context": {"traits": {"email": "a@b.example"}}}
    assert gateway.post("/v1/track", event | {"userId": "u-1"}).json() == {"success": True}
    with redis.Redis(port=gateway.redis_port) as client:
        wait_until(lambda: client.get(AlertKeys.evaluated) is not None, "a worker has evaluated")
        wait_until(lambda: client.hexists(AlertKeys.last_event, SOURCE), "the gateway has reported the event")
        wait_until(lambda: client.hlen(AlertKeys.processes) >= 2, "gateway and worker report themselves")
    assert "No channel is configured" in gateway.run("alerts", "list").stdout

    def sent() -> int:
        found = [json.loads(line) for line in gateway.run("slo", "--json").stdout.splitlines()]
        assert {(each["destination"], each["priority"]) for each in found} == {
            (DESTINATION, "high"),
            (DESTINATION, "normal"),
        }
        return sum(sum(each["last_hour"].values()) for each in found)

    wait_until(lambda: sent() > 0, "the lag of the call is counted")
    page = gateway.metrics()
    assert sum(value for name, value in page.items() if name.startswith("gateway_lag_calls_total")) > 0
