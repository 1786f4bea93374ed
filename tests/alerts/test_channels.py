"""Messages reach Slack, PagerDuty, mail servers and webhooks, and no address leaks."""

import logging
from collections.abc import Iterator
from typing import Final

import pytest

from app.alerts.channels import Post, kind_of, problem_with
from app.alerts.messages import Message, Sender, message_of
from app.alerts.rules import AlertId
from app.alerts.state import Kind, Level, Notice
from tests.alerts.receivers import (
    PAGERDUTY_URL,
    SLACK_URL,
    Receiver,
    http_receiver,
    play_slack_and_pagerduty,
    smtp_receiver,
)

SENDER: Final = Sender("acme production", "https://console.example")
HELD: Final = AlertId("held", ("acme", "purchase"))


def message(kind: Kind, alert: AlertId = HELD) -> Message:
    return message_of(alert, 1.0, Notice("team", kind, Level.CRITICAL), 1_800_000_000_000, SENDER)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running


async def test_slack_gets_the_title_what_to_do_and_a_link(receiver: Receiver) -> None:
    play_slack_and_pagerduty(slack=receiver.url)
    assert await Post(SLACK_URL).send(message(Kind.TRIGGER)) == ""
    (text,) = receiver.texts()
    assert "[acme production] critical: Nothing is sent to acme/purchase" in text
    assert "attentive-gateway destinations list" in text
    assert "https://console.example/" in text


async def test_pagerduty_resolves_the_incident_that_it_triggered(receiver: Receiver) -> None:
    play_slack_and_pagerduty(pagerduty=receiver.url)
    post = Post(PAGERDUTY_URL)
    for kind in (Kind.TRIGGER, Kind.RECOVERY):
        assert await post.send(message(kind)) == ""
    trigger, resolve = receiver.messages
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == "attentive-gateway:acme production:held:acme/purchase"
    assert trigger["payload"]["severity"] == "critical"
    assert len(trigger["payload"]["summary"]) <= 1024


async def test_each_alert_is_an_incident_of_its_own(receiver: Receiver) -> None:
    play_slack_and_pagerduty(pagerduty=receiver.url)
    post = Post(PAGERDUTY_URL)
    for endpoint in ("purchase", "identity"):
        await post.send(message(Kind.TRIGGER, AlertId("held", ("acme", endpoint))))
    assert len({each["dedup_key"] for each in receiver.messages}) == 2


async def test_a_mail_has_the_alert_as_its_subject() -> None:
    with smtp_receiver() as mail:
        address = f"mailto://127.0.0.1:{mail.port}?from=gateway@example.com&to=team@example.com&mode=insecure"
        assert await Post(address).send(message(Kind.TRIGGER)) == ""
        (text,) = mail.texts()
    assert "critical: Nothing is sent to" in text
    assert "To: team@example.com" in text


async def test_a_webhook_that_refuses_has_not_taken_the_message(receiver: Receiver) -> None:
    post = Post(receiver.webhook)
    receiver.mood = "refuses"
    assert await post.send(message(Kind.TRIGGER)) == "it is not reached, or refuses the message"
    receiver.mood = "takes"
    assert await post.send(message(Kind.TRIGGER)) == ""
    assert len(receiver.messages) == 1


async def test_an_address_that_nothing_knows_is_a_problem_and_no_crash() -> None:
    assert "Apprise" in problem_with("nosuch://a/b")
    assert "Apprise" in await Post("nosuch://a/b").send(message(Kind.TRIGGER))
    assert problem_with(SLACK_URL) == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        pytest.param(SLACK_URL, "slack", id="an address of Apprise"),
        pytest.param("https://hooks.slack.com/services/T1/B2/c3", "https", id="the address of a webhook"),
        pytest.param("TIiajkdnlazkcOXrIdevi7FQ", "unknown", id="a token in place of an address"),
    ],
)
def test_of_an_address_the_kind_alone_is_shown(address: str, shown: str) -> None:
    assert kind_of(address) == shown


async def test_nothing_is_logged_of_a_failure_that_could_hold_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.mood = "refuses"
    await Post(receiver.webhook).send(message(Kind.TRIGGER))
    assert [line for line in caplog.messages if "secret-path" in line] == []
