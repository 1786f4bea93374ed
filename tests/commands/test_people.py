"""What commands show of people: what an erasure would reach, and identifiers that too many share. Masked by default."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.cli import cli
from app.profiles.profile import ProfileUpdate, contact_digest, record_name
from app.profiles.updates import update_profiles
from app.store.keys import DestinationKeys
from tests.commands.test_audit import with_redis

DAY_S: Final = 86_400
EMAIL, OTHER = "ada@example.com", "victim@example.com"
CONFIG: Final = """
sources:
  web: {write_key: wk_web, destination: acme}
  server: {write_key: wk_server, destination: acme, trust: server}
destinations:
  acme: {api_token: token}
"""


@pytest.fixture
def env(url: str, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    return {"GATEWAY_REDIS_URL": url, "GATEWAY_CONFIG": str(file)}


def store(url: str, updates: Sequence[ProfileUpdate]) -> None:
    """Start from an empty Redis, and apply these one by one."""

    async def work(redis: Redis) -> None:
        await redis.flushall()
        for update in updates:
            await update_profiles(redis, "acme", [update])

    with_redis(url, work)


def known_to_the_server(user: str, number: int = 0, *, email: str = EMAIL) -> ProfileUpdate:
    labels = {what: f"server {what} a***@example.com" for what in ("user", "email")}
    name = record_name("server", "u", user)
    return ProfileUpdate(
        "upsert",
        (name,),
        30 * DAY_S,
        facts={"email": email},
        at_ms=1 + number,
        merges="send",
        most_links=5,
        labels=labels,
    )


def claimed_by_a_page(user: str, email: str) -> ProfileUpdate:
    name = record_name("web", "u", user, "a browser")
    digest = contact_digest("user", user)
    return ProfileUpdate("upsert", (name,), 30 * DAY_S, facts={"email": email}, claim=True, user=digest)


@pytest.mark.parametrize(
    ("options", "reached", "left_alone"),
    [
        pytest.param([], "a***@example.com", "v***@example.com", id="masked"),
        pytest.param(["--reveal"], EMAIL, OTHER, id="in full"),
    ],
)
def test_a_preview_shows_what_an_erasure_reaches_and_leaves_alone_and_erases_nothing(
    url: str, env: dict[str, str], options: list[str], reached: str, left_alone: str
) -> None:
    store(url, [known_to_the_server("u-1"), claimed_by_a_page("u-1", OTHER)])
    answer = CliRunner().invoke(cli, ["forget", "--user-id", "u-1", "--preview", *options], env=env)
    assert answer.exit_code == 0, answer.output
    above, _, below = answer.output.partition("leaves alone")
    assert reached in above
    assert left_alone in below
    assert left_alone not in above

    async def left(redis: Redis) -> tuple[int, int]:
        keys = DestinationKeys("acme")
        return await redis.exists(keys.profile(record_name("server", "u", "u-1"))), await redis.exists(keys.erasures)

    assert with_redis(url, left) == (1, 0)


def test_identifiers_that_too_many_share_are_listed_masked(url: str, env: dict[str, str]) -> None:
    store(url, [known_to_the_server(f"u-{number}", number) for number in range(9)])
    answer = CliRunner().invoke(cli, ["identities", "suspicious", "--json"], env=env)
    assert [orjson.loads(line) for line in answer.output.splitlines()] == [
        {"destination": "acme", "source": "server", "kind": "email", "identifier": "a***@example.com", "blocked": 4}
    ]
    assert EMAIL not in CliRunner().invoke(cli, ["identities", "suspicious"], env=env).output


def test_it_says_so_when_no_identifier_is_shared(url: str, env: dict[str, str]) -> None:
    store(url, [])
    assert "No identifier is shared" in CliRunner().invoke(cli, ["identities", "suspicious"], env=env).output
