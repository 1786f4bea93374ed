"""What operators do on the command line is in the audit log of the console, with their name and without a value."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.cli import cli
from app.delivery.dead_letter import DeadLetterQueue
from app.operations.audit import AuditLog, Entry
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from tests.console.opened import EMAIL, happen, keep_letter

T = TypeVar("T")
NAME = "attentive"  # the destination where no file names one


def with_redis(url: str, work: Callable[[Redis], Awaitable[T]]) -> T:
    async def run() -> T:
        redis = open_redis(url)
        try:
            return await work(redis)
        finally:
            await redis.aclose(close_connection_pool=True)

    return asyncio.run(run())


async def prepared(redis: Redis) -> dict[str, str]:
    """A dead letter, a call in review, a hold and an attribute. Their IDs."""
    await redis.flushall()
    await redis.set(DestinationKeys(NAME).hold, "401: Attentive refuses the API token", ex=60)
    await redis.hset(DestinationKeys(NAME).attributes, "tier", "string")  # type: ignore[misc]
    await happen(redis, "m-1", "received", NAME, source="default", decision="forward", calls=[])
    return {
        "LETTER": await keep_letter(redis, NAME),
        "CALL": await keep_letter(redis, NAME, DeadLetterQueue.REVIEW),
    }


@pytest.mark.parametrize(
    ("command", "act", "facts"),
    [
        ("dead-letters replay LETTER", "replay", {"sent again": 1}),
        ("dead-letters edit LETTER --set items.0.price.0.value=24.5", "edit", {"fields": "items.0.price.0.value"}),
        ("dead-letters show LETTER --reveal", "reveal", {"queue": "dead"}),
        ("dead-letters export --reveal", "export with personal data", {"queue": "dead", "calls": 1}),
        ("dead-letters purge --all --yes", "delete", {"calls": 1}),
        ("unknown-outcomes resolve CALL --send", "send after review", {"sent again": 1}),
        ("unknown-outcomes resolve CALL --discard", "discard after review", {"discarded": 1}),
        ("destinations resume", "resume", {"holds": 1}),
        (f"forget --email {EMAIL}", "erase", {}),
        (f"forget --email {EMAIL} --preview", "look up a person", {}),
        ("attributes forget tier", "forget an attribute", {}),
        ("trace m-1 --reveal", "reveal", {"queue": "trace"}),
        ("alerts mute held --for 2h", "mute alert", {"rule": "held", "subject": "", "hours": "2"}),
    ],
)
def test_an_act_is_an_entry(url: str, command: str, act: str, facts: dict[str, Any]) -> None:
    ids = with_redis(url, prepared)
    arguments = [ids.get(word, word) for word in command.split()]
    env = {"GATEWAY_REDIS_URL": url, "GATEWAY_WRITE_KEY": "dev", "ATTENTIVE_API_TOKEN": "token"}
    answer = CliRunner().invoke(cli, arguments, env=env)
    assert answer.exit_code == 0, answer.output

    async def latest(redis: Redis) -> list[Entry]:
        return await AuditLog(redis).latest(10)

    (entry,) = with_redis(url, latest)
    assert (entry.user, entry.act) == (f"{pwd.getpwuid(os.getuid()).pw_name} (command line)", act)
    assert entry.facts == facts
    assert EMAIL not in str(entry)
    assert set(arguments) & set(ids.values()) <= set(entry.ids)


def test_a_sync_that_is_reset_is_an_entry(url: str, tmp_path: Path) -> None:
    with_redis(url, prepared)
    (tmp_path / "loyalty.csv").write_text(f"customer_id,email\n1042,{EMAIL}\n")
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"""
destinations: {{{NAME}: {{api_token: t}}}}
sources: {{default: {{write_key: dev, destination: {NAME}}}}}
syncs:
  loyalty:
    {{destination: {NAME}, source: {{csv: {tmp_path / "loyalty.csv"}}}, key: customer_id, object: attributes}}
""",
        encoding="utf-8",
    )
    env = {"GATEWAY_REDIS_URL": url, "GATEWAY_CONFIG": str(config), "GATEWAY_SYNC_STATE": str(tmp_path / "state")}
    answer = CliRunner().invoke(cli, ["sync", "reset", "loyalty", "--yes"], env=env)
    assert answer.exit_code == 0, answer.output

    async def latest(redis: Redis) -> list[Entry]:
        return await AuditLog(redis).latest(10)

    (entry,) = with_redis(url, latest)
    assert (entry.act, entry.facts) == ("reset a sync", {"sync": "loyalty", "accepted": 0})


def test_what_only_looks_is_no_entry(url: str) -> None:
    with_redis(url, prepared)
    env = {"GATEWAY_REDIS_URL": url, "GATEWAY_WRITE_KEY": "dev", "ATTENTIVE_API_TOKEN": "token"}
    for command in ("dead-letters list", "destinations list", "events list", "trace m-1"):
        assert CliRunner().invoke(cli, command.split(), env=env).exit_code in (0, 1)

    async def latest(redis: Redis) -> list[Entry]:
        return await AuditLog(redis).latest(10)

    assert with_redis(url, latest) == []
