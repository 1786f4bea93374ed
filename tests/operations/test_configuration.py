"""The configuration of an operation: its own, else the one that the gateway applied last; never a guess."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis

from app import __version__
from app.config.applied import LIMITS, to_json
from app.config.bad_settings import BadSettings
from app.operations.configuration import operator_for
from app.settings import Settings, load_settings
from app.store.applied import store_applied

GOOD = """
destinations: {acme: {api_token: token}}
sources: {web: {write_key: key, destination: acme}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN", "GATEWAY_JOURNAL_ENTRIES"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    return file


def write(file: Path, content: str) -> None:
    file.write_text(content)


async def apply(redis: Redis, settings: Settings) -> None:
    """As a gateway does it once it runs."""
    limits = {name: getattr(settings, name) for name in LIMITS}
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await store_applied(redis, to_json(settings.loaded(), limits, at=at, release=__version__))


async def test_its_own_configuration_comes_first(redis: ArqRedis, file: Path) -> None:
    await apply(redis, load_settings(config=file))
    write(file, GOOD.replace("acme", "other"))
    operator, note = await operator_for(redis, load_settings(config=file))
    assert (operator.destinations, note) == (["other"], "")


@pytest.mark.parametrize("named", [True, False], ids=["a broken file", "nothing set"])
async def test_without_a_usable_one_the_last_applied_is_used_and_named(
    redis: ArqRedis, file: Path, named: bool
) -> None:
    await apply(redis, load_settings(config=file, journal_entries=5))
    write(file, "destinations: [")
    operator, note = await operator_for(redis, load_settings(config=file) if named else load_settings())
    assert operator.destinations == ["acme"]
    assert operator.settings.journal_entries == 5
    assert "applied at 2026-03-01 12:00:00 UTC" in note
    assert ("gateway.yaml, line 1" if named else "GATEWAY_CONFIG must name a YAML file") in note


async def test_a_limit_of_its_own_outranks_that_of_the_gateway(
    redis: ArqRedis, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(redis, load_settings(config=file, journal_entries=5))
    monkeypatch.setenv("GATEWAY_JOURNAL_ENTRIES", "9")
    operator, _ = await operator_for(redis, load_settings(config=file))
    assert operator.settings.journal_entries == 9


async def test_without_any_the_mistake_is_named(redis: ArqRedis, file: Path) -> None:
    with pytest.raises(BadSettings, match=r"GATEWAY_CONFIG must name a YAML file\. No gateway or worker has stored"):
        await operator_for(redis, load_settings())
    await store_applied(redis, b"{}")
    with pytest.raises(BadSettings, match="this version cannot read it"):
        await operator_for(redis, load_settings())
    operator, _ = await operator_for(redis, load_settings(config=file))
    assert operator.destinations == ["acme"], "a stored one of another release stops no command that has its own"
