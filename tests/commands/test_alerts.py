"""`attentive-gateway alerts`: what it prints, and what it sends, mutes and refuses."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import orjson
import pytest
import yaml
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from app.alerts.evaluation import evaluate
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side, read_mutes
from app.alerts.routing import Channel
from app.alerts.rules import RULES, AlertId
from app.cli import cli
from app.store.connection import open_redis
from app.store.keys import AlertKeys
from tests.alerts.receivers import Receiver, http_receiver

HELD: Final = AlertId("held", ("acme", "purchase"))
YAML: Final = """\
destinations: {acme: {api_token: token-of-acme}}
sources: {shop: {write_key: key-of-shop, destination: acme}}
alerts:
  channels:
    hook: {url: "ADDRESS"}
  rules:
    backlog_old: {warning: 300}
    refusals: {enabled: false}
"""

Run = Callable[..., Result]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def run(url: str, hook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, beside an empty Redis and with a file that has one channel."""
    asyncio.run(_with(url, lambda redis: redis.flushall()))
    file = tmp_path / "gateway.yaml"
    file.write_text(YAML.replace("ADDRESS", hook.webhook))
    monkeypatch.setenv("GATEWAY_CONFIG", str(file))
    monkeypatch.setenv("GATEWAY_REDIS_URL", url)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli, ["alerts", *arguments])


async def _with(url: str, work: "Callable[[Redis], object]") -> None:
    redis = open_redis(url)
    try:
        await work(redis)  # type: ignore[misc]
    finally:
        await redis.aclose(close_connection_pool=True)


def fire(url: str) -> None:
    """One critical alert, of which the hook has been told."""

    async def work(redis: Redis) -> None:
        now = time.time_ns() // 1_000_000
        register = Register(redis, Side.WORKERS)
        assert await register.lead()
        await evaluate(register, AlertPlan(RULES, [Channel("hook")]), {HELD: 1.0, AlertId("redis_memory"): 0.85}, now)
        await redis.set(AlertKeys.evaluated, now)

    asyncio.run(_with(url, work))


def test_without_alerts_it_states_so(run: Run) -> None:
    assert "No worker has evaluated" in run("list").stdout
    assert run("history").stdout == "No alert has changed yet.\n"


def test_open_alerts_are_listed_with_those_who_know(run: Run, url: str, hook: Receiver) -> None:
    fire(url)
    page = run("list").stdout
    critical, pending = (line for line in page.splitlines() if "held" in line or "redis_memory" in line)
    assert all(part in critical for part in ("critical", "acme/purchase", "hook"))
    assert all(part in pending for part in ("pending", "85 %"))
    assert "json" in page, "the kind of the channel"
    assert "secret-path" not in page
    first, second = map(orjson.loads, run("list", "--json").stdout.splitlines())
    assert (first["alert"], first["labels"]) == (
        "AttentiveGatewayHeld",
        {"destination": "acme", "endpoint": "purchase"},
    )
    assert second["state"] == "pending"


def test_history_has_what_changed(run: Run, url: str) -> None:
    fire(url)
    assert "ok → critical" in run("history").stdout
    (entry,) = map(orjson.loads, run("history", "--json").stdout.splitlines())
    assert (entry["before"], entry["level"], entry["sent_to"]) == ("ok", "critical", ["hook"])


def test_a_test_message_is_sent_at_once(run: Run, hook: Receiver) -> None:
    assert run("test").stdout == "hook: sent\n"
    assert "This is a test" in hook.texts()[0]
    hook.mood = "refuses"
    failed = run("test", "hook")
    assert (failed.exit_code, failed.stdout) == (1, "hook: not sent: it is not reached, or refuses the message\n")
    assert "The channels are: hook." in run("test", "hok").stderr


def test_a_rule_and_one_subject_are_muted_and_unmuted(run: Run, url: str) -> None:
    fire(url)
    assert run("mute", "held", "acme/purchase", "--for", "2h").exit_code == 0
    assert run("mute", "backlog_old", "acme").exit_code == 0
    mutes: list[AlertId] = []

    async def look(redis: Redis) -> None:
        mutes.extend(await read_mutes(redis, 0))

    asyncio.run(_with(url, look))
    assert sorted(each.field for each in mutes) == ["backlog_old|acme|", HELD.field]
    assert "(muted)" in run("list").stdout
    assert run("unmute", "held", "acme/purchase").stdout == "The mute has ended.\n"
    assert "is not muted" in run("unmute", "held", "acme/purchase").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(("mute", "hold"), "There is no rule 'hold'. The rules are: backlog_old,", id="a rule"),
        pytest.param(("mute", "held", "a/b/c"), "which has: destination/endpoint.", id="a subject"),
    ],
)
def test_a_mistake_is_named(run: Run, arguments: tuple[str, ...], told: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert told in refused.stderr.replace("\n", " ")


def test_rules_are_shown_with_the_thresholds_of_the_file(run: Run) -> None:
    page = run("rules").stdout
    assert "> 5 min" in next(line for line in page.splitlines() if "backlog_old" in line)
    assert "refusals" not in page
    (group,) = yaml.safe_load(run("rules", "--prometheus").stdout)["groups"]
    expressions = [rule["expr"] for rule in group["rules"] if rule["alert"] == "AttentiveGatewayBacklogOld"]
    assert [expression.rpartition(" > ")[2] for expression in expressions] == ["300", "14400"]
