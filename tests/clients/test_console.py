"""The console in Chromium: each page's journey with scripts and without, hostile events, accessibility.

Run by `make test-clients`, which installs Chromium, playwright and axe first.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from redis.asyncio import Redis

from app.delivery.dead_letter import DeadLetterQueue
from app.sandbox import create_sandbox
from app.sandbox.keys import DEFAULT_KEY
from app.store.keys import DestinationKeys
from tests.clients.clients import CHROMIUM, HERE
from tests.console.opened import PASSWORD, USERS, Opened, arrive, configuration, happen, keep_letter, opened
from tests.console.test_alerts import fire
from tests.console.test_events import attack, served, serving
from tests.console.test_mapping_edit import record
from tests.console.test_syncs import page_with

pytestmark = pytest.mark.timeout(240)
PAGES = ["/", "/live", "/events", "/lanes", "/dead-letters", "/dead-letters/replay", "/unknown-outcomes", "/jobs"]
PAGES += [
    "/mapping",
    "/mapping/try",
    "/mapping/edit",
    "/mapping/edit?destination=acme&event=Order%20Completed",
    "/mapping/draft?destination=acme",
    "/mapping/revisions?destination=acme",
    "/people",
    "/destinations",
    "/destinations/acme",
    "/destinations/acme-uk/promote",
    "/alerts",
    "/syncs",
    "/syncs/hostile",
    "/syncs/gold-on",
    "/unknown-outcomes/replay",
    "/unknown-outcomes/discard",
    "/dead-letters/delete",
    "/nowhere",
    "/sources",
    "/audit",
    "/sessions",
]


async def fill(redis: Redis) -> list[str]:
    """Something to see on every page, much of it hostile. The addresses of pages about single events."""
    paths = []
    for number in range(200):
        message_id = f"m-{number}-{attack(number)}"
        who = {"email": attack(number + 3)}
        await arrive(
            redis, message_id, event=attack(number), source=attack(number + 1), reason=attack(number + 2), who=who
        )
        if number < 4:
            event = {"type": "track", "event": attack(number), "properties": {attack(number + 4): attack(number + 5)}}
            for queue, path in ((DeadLetterQueue.DEAD, "dead-letters"), (DeadLetterQueue.REVIEW, "unknown-outcomes")):
                fields: dict[str, Any] = {
                    "reason": attack(number + 6),
                    "detail": attack(number + 7),
                    "event": orjson.dumps(event),
                }
                letter = await keep_letter(redis, queue=queue, message_id=message_id, **fields)
                paths.append(f"/{path}/acme/{letter}")
                if queue is DeadLetterQueue.DEAD:
                    paths.append(f"/{path}/acme/{letter}/edit")
            paths.append(f"/events/{quote(message_id, safe='')}")
    for number in range(3):
        dropped: dict[str, Any] = {
            "source": "shop",
            "event": "Page Left",
            "decision": "drop",
            "reason": "no_identity",
            "calls": [],
        }
        await happen(redis, f"dropped-{number}", "received", **dropped)
        await keep_letter(redis, message_id=f"letter-{number}")
    hostile: dict[str, Any] = {attack(number): attack(number + 1) for number in range(10)}
    await record(redis, **hostile)
    for reason in ("bulk_on", "bulk_off"):
        for number in range(5):
            await keep_letter(redis, message_id=f"{reason}-{number}", reason=reason)
    for reason in ("unsure_on", "unsure_off"):
        await keep_letter(redis, queue=DeadLetterQueue.REVIEW, message_id=reason, reason=reason)
    await fire(redis)
    for destination in ("acme", "acme-uk"):
        await redis.set(DestinationKeys(destination).hold, "401: Attentive refuses the API token", ex=600)
    return paths


@asynccontextmanager
async def events_coming(redis: Redis) -> AsyncIterator[None]:
    """An event every quarter of a second."""

    async def come() -> None:
        for number in range(10_000):
            await arrive(redis, f"live-{number}")
            await asyncio.sleep(0.25)

    task = asyncio.create_task(come())
    try:
        yield
    finally:
        task.cancel()


async def walked(console: Opened, redis: Redis, paths: list[str]) -> dict[str, str]:
    """What each check found; empty where all is well."""
    async with served(console) as base, events_coming(redis):
        sessions = {name: (await console.user(name)).cookies["console-session"] for name in USERS}
        facts = {
            "BASE": base,
            "SESSIONS": json.dumps(sessions),
            "CHROMIUM": CHROMIUM,
            "PASSWORD": PASSWORD,
            "PATHS": json.dumps([*PAGES, *paths]),
        }
        process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "console.mjs"),
            env={**os.environ, **facts},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    found = [json.loads(line) for line in out.splitlines()]
    return {each["check"]: each["problem"] for each in found}


def with_syncs(folder: Path, attentive: str) -> dict[str, Any]:
    """Audiences that are sent to the sandbox, and rows that nothing can be made of."""
    content = configuration()
    content["destinations"]["acme"] |= {"base_url": attentive, "api_token": DEFAULT_KEY.token}
    usual = {"destination": "acme", "key": "id"}
    content["syncs"] = {
        name: usual
        | {"object": "audience", "mode": "mirror", "source": {"ndjson": str(folder / f"{name}.ndjson")}}
        | {"segment": {"external_id": name, "name": name}}
        for name in ("gold-on", "gold-off")
    }
    content["syncs"]["hostile"] = usual | {
        "object": "attributes",
        "duplicates": "reject",
        "source": {"ndjson": str(folder / "hostile.ndjson")},
        "types": {"points": "number"},
        "fields": {"points": "points"},
    }
    return content


async def run_syncs(console: Opened, folder: Path) -> None:
    """Audiences that lose most of their members with the next run, and rejects that are hostile."""
    admin = await console.user("adam")
    for name in ("gold-on", "gold-off", "hostile"):
        rows = [{"id": attack(n), "email": f"p{n}@shop.example", "points": attack(n + 1)} for n in range(20)]
        (folder / f"{name}.ndjson").write_bytes(b"\n".join(map(orjson.dumps, rows)))
        await admin.post(f"/syncs/{name}/run")
        await page_with(admin, f"/syncs/{name}", lambda text: ">done" in text)
        (folder / f"{name}.ndjson").write_bytes(orjson.dumps(rows[0]))


async def test_the_console_in_a_browser(tmp_path: Path, url: str, redis: Redis) -> None:
    assert (HERE / "node_modules").exists(), "the clients are not installed: run make test-clients"
    async with serving(create_sandbox()) as attentive:
        content = with_syncs(tmp_path, attentive)
        async with opened(tmp_path, url, content, sync_state=str(tmp_path / "state")) as console:
            await run_syncs(console, tmp_path)
            found = await walked(console, redis, await fill(redis))
    assert len(found) == 32
    assert {check: problem for check, problem in found.items() if problem} == {}
