"""Events: found, told as a story, and followed live without a gap."""

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any, Final

import httpx
import orjson
import pytest
import uvicorn
from redis.asyncio import Redis

from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.delivery import to_ms
from app.delivery.journal.event_rows import position_of, position_text
from app.delivery.journal.refusals import Refusal, store_refusals
from tests.builders import NOW
from tests.console.opened import Opened, arrive, happen, keep_letter
from tests.ports import free_port
from tests.waiting import patient

SHAPES: Final = (
    "<script>dialog({n})</script>",
    '"><img src=x onerror=dialog({n})>',
    "'><svg/onload=dialog({n})>",
    "javascript:dialog({n})",
    "</title><script>dialog({n})</script>",
    "</textarea><script>dialog({n})</script>",
    "</pre></code><iframe srcdoc='<script>dialog({n})</script>'>",
    "{{{{ 7777*7777 }}}}{{% print({n}) %}}",
    '" autofocus onfocus=dialog({n}) x="',
    "<a href='data:text/html,<script>dialog({n})</script>'>x</a>",
)


async def test_an_event_is_told_step_by_step(console: Opened, redis: Redis) -> None:
    began_ms = to_ms(datetime.now(UTC))
    arrived: dict[str, Any] = {
        "source": "shop",
        "event": "Order Completed",
        "decision": "forward",
        "calls": ["purchase"],
    }
    await happen(redis, "m-1", "received", entry_id=f"{began_ms}-0", **arrived)
    busy: dict[str, Any] = {
        "endpoint": "purchase",
        "attempt": 1,
        "outcome": "retry",
        "status": 503,
        "reason": "HTTP 503",
        "wait_s": 2,
    }
    await happen(redis, "m-1", "attempt", entry_id=f"{began_ms + 5}-0", **busy)
    done: dict[str, Any] = {"endpoint": "purchase", "attempt": 2, "outcome": "delivered", "status": 200, "took_ms": 8.0}
    done["waited_ms"] = {"retry": 1_500, "limit": 400, "own": 95}
    await happen(redis, "m-1", "attempt", entry_id=f"{began_ms + 2_005}-0", **done)
    page = (await (await console.user("vera")).get("/events/m-1")).text
    story = [
        "Received and accepted: purchase",
        "purchase, attempt 1: retry",
        "HTTP 503",
        "purchase, attempt 2: delivered",
    ]
    places = [page.index(step) for step in story]
    assert places == sorted(places)
    assert "1.5 s for the retry; 400 ms for Attentive&#39;s limit" in page
    assert "95 ms for a worker: our own delay" in page


async def test_what_was_never_sent_is_explained(console: Opened, redis: Redis) -> None:
    await happen(redis, "m-9", "received", source="shop", event="Page", decision="drop", reason="no_identity", calls=[])
    browser = await console.user("vera")
    assert "no identity" in (await browser.get("/events/m-9")).text
    assert "m-9" in (await browser.get("/events?outcome=dropped:no_identity")).text
    assert "m-9" not in (await browser.get("/events?outcome=delivered")).text
    answer = await browser.get("/events/unheard-of")
    assert (answer.status_code, "Nothing is known" in answer.text) == (404, True)


async def test_a_user_of_one_destination_sees_no_event_of_another(console: Opened, redis: Redis) -> None:
    await arrive(redis, "m-secret")
    browser = await console.user("udo")
    for path in ("/events", "/live", "/events?message_id=m-secret"):
        assert "m-secret" not in (await browser.get(path)).text.replace('value="m-secret"', "")
    assert (await browser.get("/events/m-secret")).status_code == 404


@pytest.mark.parametrize(
    "text", ["", "acme", "acme=1", "acme=x-1", "other=1-1", "acme=1-1,acme=\n2-2", "acme=" + "9" * 60]
)
def test_an_id_that_is_no_position_is_left_out(text: str) -> None:
    assert position_of(text, ["acme"]).keys() <= {"acme"}
    assert all(value == "1-1" for value in position_of(text, ["acme"]).values())


def test_a_position_survives_its_text() -> None:
    position = {"acme": "1764498391123-5", "acme-uk": "0-0"}
    assert position_of(position_text(position), position) == position


@asynccontextmanager
async def served(console: Opened) -> AsyncIterator[str]:
    """The console behind a real server: streams need one."""
    async with serving(console.app) as address:
        yield address


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """An ASGI app behind a real server. Its address."""
    port = free_port()
    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def messages(http: httpx.AsyncClient, path: str, last_id: str | None) -> AsyncIterator[dict[str, str]]:
    """The messages of a stream."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        message: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                message[name] = value
            elif message:
                yield message
                message = {}


async def test_every_row_arrives_once_over_breaks(console: Opened, redis: Redis) -> None:
    """Ten connections, each broken after some rows: none is missed. The shutdown with an open stream ends."""
    cookies = dict((await console.user("vera")).cookies)
    expected = [f"m-{number}" for number in range(300)]
    seen: list[str] = []
    last_id: str | None = None
    async with served(console) as base, httpx.AsyncClient(base_url=base, cookies=cookies, timeout=patient(30)) as http:
        await happen(redis, "before", "received")
        position = position_text({"acme": (await redis.xrevrange("{acme}:journal", count=1))[0][0].decode()})
        for start in range(0, 300, 30):
            for message_id in expected[start : start + 30]:
                await arrive(redis, message_id)
            parts: list[str] = []
            async for message in messages(http, f"/live/stream?outcome=accepted&after={position}", last_id):
                if message.get("event") == "rows":
                    parts += [html.unescape("".join(row)) for row in orjson.loads(message["data"])]
                if "id" in message:
                    last_id = message["id"]
                    seen += parts
                    parts = []
                    if len(seen) >= start + 30:
                        break
    found = [row.partition("/events/")[2].partition("#")[0] for row in seen]
    assert found == expected


class Parsed(HTMLParser):
    """The tags of a page, and what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag in ("iframe", "object", "embed", "base", "style") or any(name.startswith("on") for name in names):
            self.bad.append(self.get_starttag_text() or tag)
        if tag == "script" and not (dict(attrs).get("src") or "").startswith("/static/"):
            self.bad.append("script")
        for name, value in attrs:
            if name in ("href", "src", "action", "formaction") and (value or "").strip().lower().startswith(
                ("javascript:", "data:")
            ):
                self.bad.append(f"{name}={value}")
            if name == "style":
                self.bad.append("style")


def attack(number: int) -> str:
    return SHAPES[number % len(SHAPES)].format(n=number)


async def test_what_a_tracker_writes_runs_on_no_page(console: Opened, redis: Redis) -> None:
    """200 attacks, in every field that a page shows."""
    paths = {
        "/",
        "/events",
        "/live",
        "/alerts",
        "/dead-letters",
        "/unknown-outcomes",
        "/lanes",
        "/people",
        "/audit",
        "/jobs",
    }
    for number in range(0, 200, 10):
        names = iter(range(number, number + 10))
        facts: dict[str, Any] = {
            "event": attack(next(names)),
            "source": attack(next(names)),
            "reason": attack(next(names)),
        }
        message_id = f"m-{number}-{attack(next(names))}"
        who = {attack(next(names)): attack(next(names))}
        await arrive(redis, message_id, who=who, other={attack(number): [attack(number + 1)]}, **facts)
        event = {"type": "track", "event": attack(next(names)), "properties": {attack(next(names)): attack(number)}}
        for queue in DeadLetterQueue:
            letter = await keep_letter(
                redis,
                queue=queue,
                message_id=message_id,
                reason=attack(number),
                detail=attack(number + 1),
                source=attack(number + 2),
                event=orjson.dumps(event),
                last_answer={"status": 400, "answer": attack(number + 3)},
            )
            path = "dead-letters" if queue is DeadLetterQueue.DEAD else "unknown-outcomes"
            paths.add(f"/{path}/acme/{letter}")
            paths |= {f"/{path}/acme/{letter}/edit"} if queue is DeadLetterQueue.DEAD else set()
        paths.add(httpx.URL("/events/").join(httpx.URL(path="/events/" + message_id)).raw_path.decode())
        await redis.zadd("{acme}:suspicious", {f"shop user_id {attack(number)}": 1})
    browser = await console.user("adam")
    await console.parts.audit.add(attack(1), attack(2), destination=attack(3), ids=[attack(4)], fact=attack(5))
    for path in sorted(paths):
        answer = await browser.get(path)
        assert answer.status_code in (200, 404), path
        page = Parsed()
        page.feed(answer.text)
        assert page.bad == [], path
        assert "60481729" not in answer.text
    for path, form in (
        ("/mapping/try", {"event": attack(0)}),
        ("/people", {"user_id": attack(1)}),
        ("/events", {"who": attack(2)}),
    ):
        page = Parsed()
        page.feed((await browser.post(path, data=form)).text)
        assert page.bad == [], path


async def test_what_the_intake_refused_is_shown_to_those_who_may_see_its_source(console: Opened, redis: Redis) -> None:
    refused = [
        Refusal(NOW, source, "/v1/track", 400, "invalid_event", attack(number), "event", (f"m-{number}",))
        for number, source in enumerate(("shop", "uk-shop", ""))
    ]
    kept: dict[str, Any] = {"keep": timedelta(hours=1), "destinations": dict, "journal_entries": 1000}
    await store_refusals(redis, refused, **kept)
    for user, seen in (("vera", [0, 1, 2]), ("udo", [1])):
        browser = await console.user(user)
        listed = (await browser.get("/sources")).text
        assert [number for number in range(3) if f"m-{number}" in listed] == seen
        statuses = [(await browser.get(f"/events/m-{number}")).status_code for number in range(3)]
        assert [number for number in range(3) if statuses[number] == 200] == seen
        page = Parsed()
        page.feed(listed)
        assert page.bad == []
