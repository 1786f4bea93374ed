"""The pages of syncs: what they show of a run, a dry run, a refusal and its approval, and who may do what."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis.asyncio import Redis

from app.sandbox import create_sandbox
from app.sandbox.keys import DEFAULT_KEY
from app.store.keys import ConsoleKeys, DestinationKeys
from tests.console.opened import EMAIL, Opened, configuration, opened
from tests.console.test_events import serving
from tests.waiting import patient

ATTRIBUTES: Final[dict[str, Any]] = {
    "destination": "acme",
    "key": "id",
    "object": "attributes",
    "duplicates": "reject",
    "types": {"points": "number"},
    "fields": {"points": "points"},
}
GOLD: Final[dict[str, Any]] = {
    "title": "Gold members",
    "destination": "acme",
    "key": "id",
    "object": "audience",
    "mode": "mirror",
    "segment": {"external_id": "gold", "name": "Gold members"},
}


class Table:
    """A file that syncs read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        self.path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "rows.ndjson")


@asynccontextmanager
async def with_syncs(
    folder: Path, url: str, table: Table, attentive: str = "http://127.0.0.1:9"
) -> AsyncIterator[Opened]:
    content = configuration()
    content["destinations"]["acme"] |= {"base_url": attentive, "api_token": DEFAULT_KEY.token}
    source = {"source": {"ndjson": str(table.path)}}
    content["syncs"] = {
        "points": ATTRIBUTES | source,
        "gold": GOLD | source,
        "uk": ATTRIBUTES | source | {"destination": "acme-uk", "schedule": "15 * * * *"},
    }
    async with opened(folder, url, content, sync_state=str(folder / "state")) as console:
        yield console


@pytest.fixture
async def console(tmp_path: Path, url: str, redis: Redis, table: Table) -> AsyncIterator[Opened]:
    async with with_syncs(tmp_path, url, table) as ready:
        yield ready


async def page_with(browser: httpx.AsyncClient, path: str, shown: Callable[[str], bool]) -> str:
    """The page as soon as it shows this."""
    async with asyncio.timeout(patient(20)):
        while not shown(page := (await browser.get(path)).text):  # noqa: ASYNC110 - a page has no event
            await asyncio.sleep(0.05)
    return page


async def ended(console: Opened, sync: str) -> None:
    """Return when this console's run has ended, published where it stands, and given the lease back.

    The page shows how a run ended before that.
    """
    async with asyncio.timeout(patient(20)):
        while console.parts.sync_runs.has(sync):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


def customer(number: int, points: Any = 5) -> dict[str, Any]:
    return {"id": f"c-{number}", "email": f"p{number}@shop.example", "points": points}


async def test_syncs_that_never_ran_are_listed_with_their_next_time(console: Opened) -> None:
    page = (await (await console.user("vera")).get("/syncs")).text
    assert page.count("never run") == 3
    for shown in ("Gold members", "audience, mirror", "ndjson", "no schedule", ":15:00 UTC"):
        assert shown in page
    assert "It has not run yet" in (await (await console.user("vera")).get("/syncs/gold")).text


async def test_without_syncs_the_page_explains_how_to_have_one(tmp_path: Path, url: str, redis: Redis) -> None:
    async with opened(tmp_path, url) as console:
        assert "No sync is configured" in (await (await console.user("vera")).get("/syncs")).text


async def test_a_user_sees_the_syncs_of_their_destinations(console: Opened) -> None:
    browser = await console.user("udo")
    page = (await browser.get("/syncs")).text
    assert "/syncs/uk" in page
    assert "/syncs/gold" not in page
    assert (await browser.get("/syncs/gold")).status_code == 404
    assert (await browser.post("/syncs/gold/run")).status_code == 404


async def test_a_dry_run_shows_what_would_be_sent_and_what_not(console: Opened, table: Table) -> None:
    table.write([customer(1), customer(2), customer(3, "many")])
    page = (await (await console.user("otto")).post("/syncs/points/plan")).text
    for shown in ("3 rows", "user-attributes", "less than a minute", "value_type", "Correct the value"):
        assert shown in page
    assert "p1@shop.example" not in page


async def test_a_source_that_cannot_be_read_is_explained(console: Opened) -> None:
    browser = await console.user("otto")
    answer = await browser.post("/syncs/points/plan")
    assert answer.status_code == 409
    assert "There is no file" in answer.text
    await browser.post("/syncs/points/run")
    await ended(console, "points")
    assert "Nothing was sent. There is no file" in (await browser.get("/syncs/points")).text
    assert "failed" in (await browser.get("/syncs")).text


async def test_rejected_rows_are_counted_explained_and_downloaded(console: Opened, table: Table) -> None:
    table.write([{"id": EMAIL, "points": "many"}, {"id": "=1+1", "points": "few"}])
    operator = await console.user("otto")
    await operator.post("/syncs/points/run")
    page = await page_with(operator, "/syncs/points", lambda text: "done, some rejected" in text)
    assert "Correct the value or the type." in page
    masked = (await operator.get("/syncs/points/rejects")).text
    assert EMAIL not in masked + page
    assert [row["key"] for row in csv.DictReader(StringIO(masked.lstrip("\ufeff")))] == ["a***@shop.example", "'=1+1"]
    assert (await operator.get("/syncs/points/rejects?reveal=true")).status_code == 403
    assert EMAIL in (await (await console.user("rita")).get("/syncs/points/rejects?reveal=true")).text
    acts = {(entry.user, entry.act) for entry in await console.parts.audit.latest(10)}
    assert {("otto", "run a sync"), ("rita", "reveal")} <= acts


async def test_a_run_shows_its_progress_is_stopped_and_continued(console: Opened, table: Table) -> None:
    table.write(customer(number) for number in range(4))
    browser = await console.user("otto")
    await browser.post("/syncs/points/run")
    page = await page_with(browser, "/syncs/points", lambda text: "0 of 4 rows have ended" in text)
    assert "running" in page
    assert (await browser.post("/syncs/points/run")).status_code == 400
    assert "The run was stopped" in (await browser.post("/syncs/points/stop", follow_redirects=True)).text
    page = await page_with(browser, "/syncs/points", lambda text: "Continue the run" in text)
    assert "not finished" in page
    await browser.post("/syncs/points/resume")
    await page_with(browser, "/syncs/points", lambda text: "Stop" in text and "running" in text)
    assert (await browser.post("/syncs/gold/stop")).status_code == 400


async def test_only_an_admin_takes_rows_as_sent(console: Opened, table: Table) -> None:
    table.write([customer(1)])
    assert (await (await console.user("otto")).post("/syncs/points/run", data={"rows": "baseline"})).status_code == 403
    browser = await console.user("adam")
    await browser.post("/syncs/points/run", data={"rows": "baseline"})
    page = await page_with(browser, "/syncs/points", lambda text: "good" in text)
    assert "1 row" in page


async def test_a_run_that_would_remove_many_waits_until_an_admin_approves_its_plan(
    tmp_path: Path, url: str, redis: Redis, table: Table
) -> None:
    async with serving(create_sandbox()) as attentive, with_syncs(tmp_path, url, table, attentive) as console:
        operator, admin = await console.user("otto"), await console.user("adam")
        table.write(customer(number) for number in range(8))
        await operator.post("/syncs/gold/run")
        await page_with(operator, "/syncs/gold", lambda text: ">done<" in text)
        await ended(console, "gold")
        table.write([customer(1)])
        await operator.post("/syncs/gold/run")
        page = await page_with(operator, "/syncs/gold", lambda text: "waits for approval" in text)
        await ended(console, "gold")
        for shown in ("would remove 7 people of 8", "p***@shop.example", "An admin of acme approves it"):
            assert shown in page
        assert "Carry out exactly this plan" not in page
        page = (await admin.get("/syncs/gold")).text
        run = page.partition('name="run" value="')[2].partition('"')[0]
        assert (await operator.post("/syncs/gold/approve", data={"run": run})).status_code == 403
        stale = await admin.post("/syncs/gold/approve", data={"run": "other"})
        assert (stale.status_code, "was replaced" in stale.text) == (400, True)
        await admin.post("/syncs/gold/approve", data={"run": run})
        page = await page_with(admin, "/syncs/gold", lambda text: "waits for approval" not in text and ">done<" in text)
        assert "Carry out" not in page


async def test_where_the_state_is_elsewhere_the_page_shows_what_was_published(
    tmp_path: Path, url: str, redis: Redis, table: Table, console: Opened
) -> None:
    table.write([customer(1, "many")])
    await (await console.user("otto")).post("/syncs/points/run")
    await page_with(await console.user("vera"), "/syncs/points", lambda text: "done, some rejected" in text)
    await ended(console, "points")
    other = tmp_path / "other"
    other.mkdir()
    async with with_syncs(other, url, table) as elsewhere:
        browser = await elsewhere.user("adam")
        page = (await browser.get("/syncs/points")).text
        assert "is on another machine" in page
        assert "done, some rejected" in page
        assert "Correct the value or the type." in page
        assert "<button" not in page.partition("<main")[2].partition("<dialog")[0]
        for path in ("/syncs/points/run", "/syncs/points/resume"):
            assert "on another machine" in (await browser.post(path)).text
        assert (await browser.get("/syncs/points/rejects")).status_code == 400


async def test_another_process_that_runs_the_sync_is_no_error(console: Opened, redis: Redis, table: Table) -> None:
    await redis.set(DestinationKeys("acme").sync_lease("points"), "other", ex=600)
    table.write([customer(1)])
    browser = await console.user("otto")
    assert "Another process runs it" in (await browser.get("/syncs/points")).text
    await browser.post("/syncs/points/run")
    await ended(console, "points")
    await redis.delete(DestinationKeys("acme").sync_lease("points"))
    assert "is running in another process" in (await browser.get("/syncs/points")).text
    assert await redis.hexists(ConsoleKeys.sync_problems, "points")  # type: ignore[misc]
