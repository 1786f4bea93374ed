"""The page of alerts: what is open, who may see which, and what an operator does."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis

from app.alerts.evaluation import evaluate
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side, read_mutes
from app.alerts.routing import Channel
from app.alerts.rules import RULES, AlertId
from app.store.keys import AlertKeys
from tests.alerts.receivers import Receiver, http_receiver
from tests.console.opened import Opened, configuration, opened

ACME: Final = AlertId("held", ("acme", "purchase"))
UK: Final = AlertId("held", ("acme-uk", ""))
SOURCE: Final = AlertId("source_silent", ("shop",))


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
async def console(url: str, redis: Redis, hook: Receiver, tmp_path: Path) -> AsyncIterator[Opened]:
    content = configuration() | {"alerts": {"channels": {"hook": {"url": hook.webhook}}}}
    async with opened(tmp_path, url, content) as running:
        yield running


async def fire(redis: Redis) -> None:
    now = time.time_ns() // 1_000_000
    register = Register(redis, Side.WORKERS)
    assert await register.lead()
    observed = {ACME: 1.0, UK: 1.0, SOURCE: 4000.0, AlertId("redis_memory"): 0.95}
    await evaluate(register, AlertPlan(RULES, [Channel("hook")]), observed, now)
    await redis.set(AlertKeys.evaluated, now)


async def test_open_alerts_are_shown_with_what_to_do(console: Opened, redis: Redis) -> None:
    browser = await console.user("vera")
    assert "Nothing is known yet" in (await browser.get("/alerts")).text
    await fire(redis)
    page = (await browser.get("/alerts")).text
    for shown in ("Nothing is sent to acme/purchase", "No events from shop for", "destinations list", "hook", "json"):
        assert shown in page
    assert "secret-path" not in page
    assert '<form method="post" action="/alerts' not in page, "a viewer mutes nothing"


async def test_a_user_of_one_destination_sees_its_alerts_and_those_about_none(console: Opened, redis: Redis) -> None:
    await fire(redis)
    page = (await (await console.user("udo")).get("/alerts")).text
    assert "acme-uk" in page
    assert "Redis uses" in page
    assert "acme/purchase" not in page
    assert "shop" not in page.replace("uk-shop", "")
    assert "hook</th>" not in page


async def test_an_operator_mutes_and_unmutes(console: Opened, redis: Redis) -> None:
    await fire(redis)
    browser = await console.user("otto")
    muted = await browser.post("/alerts/mute", data={"rule": "held", "subject": "acme/purchase", "hours": "2"})
    assert muted.headers["location"] == "/alerts?note=muted"
    assert list(await read_mutes(redis, 0)) == [ACME]
    assert "End the mute" in (await browser.get("/alerts")).text
    await browser.post("/alerts/unmute", data={"rule": "held", "subject": "acme/purchase"})
    assert await read_mutes(redis, 0) == {}
    acts = [entry.act for entry in await console.parts.audit.latest(10)]
    assert acts == ["unmute alert", "mute alert"]


async def test_an_operator_sends_a_test(console: Opened, hook: Receiver) -> None:
    browser = await console.user("otto")
    sent = await browser.post("/alerts/test", data={"channel": "hook"})
    assert sent.headers["location"] == "/alerts?note=channel-works"
    assert len(hook.messages) == 1
    hook.mood = "refuses"
    failed = await browser.post("/alerts/test", data={"channel": "hook"})
    assert failed.headers["location"] == "/alerts?note=channel-fails"


@pytest.mark.parametrize("user", ["vera", "udo"])
@pytest.mark.parametrize("act", ["mute", "unmute", "test"])
async def test_who_may_not_operate_everything_changes_nothing(console: Opened, user: str, act: str) -> None:
    browser = await console.user(user)
    form = {"rule": "held", "hours": "1", "channel": "hook"}
    assert (await browser.post(f"/alerts/{act}", data=form)).status_code == 403


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"rule": "nosuch", "hours": "1"}, id="a rule that does not exist"),
        pytest.param({"rule": "held", "hours": "-1"}, id="a time below 0"),
        pytest.param({"rule": "held", "hours": "x"}, id="what is no time"),
    ],
)
async def test_a_mistake_is_refused(console: Opened, form: dict[str, str]) -> None:
    browser = await console.user("otto")
    assert 400 <= (await browser.post("/alerts/mute", data=form)).status_code < 500
