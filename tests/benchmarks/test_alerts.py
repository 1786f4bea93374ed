"""The incident run of the alerts counts what channels were told, in single messages and in digests."""

from benchmarks.alerts import Incident, _row, _told
from tests.alerts.receivers import Receiver

INCIDENTS = [Incident(f"shop-{number:03}", 0, 30, began=100.0, ended=130.0) for number in range(3)]


def text(title: str, message: str = "", at: float = 0.0) -> dict[str, object]:
    return {"path": "/", "at": at, "title": title, "message": message}


def test_what_a_channel_was_told_is_counted_by_incident() -> None:
    receiver = Receiver(
        messages=[
            text("[acme] critical: Nothing is sent to shop-000", at=102.0),
            text("[acme] critical: Nothing is sent to shop-000", at=103.0),
            text(
                "[acme] 2 alerts changed",
                "critical: Nothing is sent to shop-001\nresolved: shop-000: AttentiveGatewayHeld",
                at=145.0,
            ),
        ]
    )
    told = _told(receiver)
    assert told.triggers == {"shop-000": [102.0, 103.0], "shop-001": [145.0]}
    assert told.recoveries == {"shop-000": [145.0]}
    name, incidents, triggered, resolved, lost, repeated, *delays = _row("hook", INCIDENTS, told)
    assert (name, incidents, triggered, resolved, lost, repeated) == ("hook", "3", "1", "1", "3", "1")
    assert delays == ["45.0", "45.0", "15.0", "15.0"]


def test_pagerduty_is_told_by_key() -> None:
    events = [
        {"at": at, "dedup_key": "attentive-gateway:acme:held:shop-002", "event_action": action}
        for at, action in ((101.0, "trigger"), (140.0, "resolve"))
    ]
    told = _told(Receiver(messages=events))
    assert (told.triggers, told.recoveries) == ({"shop-002": [101.0]}, {"shop-002": [140.0]})
