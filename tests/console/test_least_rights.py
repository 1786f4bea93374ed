"""The Redis users that docs/console.md recommends: the console works as them, and asks for nothing else."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.delivery.journal.event_rows import EventFilter
from app.delivery.lane import Lane
from app.store.keys import DestinationKeys
from tests.console.opened import arrive, keep_letter, opened

PAGE: Final = Path(__file__).parents[2] / "docs" / "console.md"
PAGES: Final = [
    "/",
    "/live",
    "/events",
    "/events/m-1",
    "/lanes",
    "/alerts",
    "/dead-letters",
    "/unknown-outcomes",
    "/jobs",
]
PAGES.extend(["/mapping", "/mapping/revisions", "/people", "/destinations", "/destinations/acme", "/sources", "/audit"])


@pytest.mark.parametrize(
    ("name", "acts"),
    [pytest.param("console", True, id="for all roles"), pytest.param("viewer", False, id="for viewers alone")],
)
async def test_the_console_works_as_the_user_that_the_documents_recommend(
    tmp_path: Path, url: str, redis: Redis, name: str, acts: bool
) -> None:
    (recommended,) = re.findall(rf"^    (ACL SETUSER {name} .+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    try:
        await redis.execute_command(*shlex.split(recommended))  # type: ignore[no-untyped-call]
    except ResponseError:
        pytest.skip("this Redis is older than 7: it knows no keys that may only be read")
    try:
        await redis.acl_log_reset()
        letter = await keep_letter(redis)
        await arrive(redis)
        await redis.set(DestinationKeys("acme").hold, "401: Attentive refuses the API token", ex=60)
        async with opened(tmp_path, url.replace("://", f"://{name}:PASSWORD@", 1)) as console:
            browser = await console.user("adam")
            for path in PAGES:
                assert (await browser.get(path)).status_code == 200, path
            assert (await browser.post("/people", data={"user_id": "u-1"})).status_code == 200
            denied = {entry["object"] for entry in await redis.acl_log()}
            assert denied <= {"client"}, "Redis 6.2 denies redis-py to name itself, which does not need it"
            for path in (f"/dead-letters/acme/{letter}/replay", "/destinations/acme/resume"):
                assert ((await browser.post(path)).status_code == 303) is acts
            assert (await browser.post("/people/erase", data={"user_id": "u-1"})).status_code == (303 if acts else 503)
            live = console.parts.live.follow(EventFilter(), {"acme": "0-0"})
            assert (await anext(live)).rows
            await live.aclose()
        waiting = sum([await redis.xlen(stream) for stream in Lane("acme", "product-view").keys.streams])
        assert waiting == int(acts)
    finally:
        await redis.acl_deluser(name)
