"""Scripts and their callers: both sides use the names that are declared, and counters are spelled in one place."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis

import app.alerts.register
import app.delivery.accounts.event_keys
import app.delivery.backlog
import app.delivery.consumer
import app.delivery.dead_letters
import app.delivery.journal.call_record
import app.delivery.outbox
import app.delivery.retention
import app.delivery.row_outcomes
import app.erasure.removal
import app.erasure.requests
import app.profiles.removal
import app.profiles.updates
from app import counted
from app.counted import DeadReason, DropReason
from app.store.script import SCRIPTS, Script, local_name, prologue, source

FOLDER: Final = Path(app.__file__).parent / "store" / "scripts"
FILES: Final = sorted(path.stem for path in FOLDER.glob("*.lua"))
PREFIXES: Final = tuple(kind.prefix for kind in vars(counted).values() if hasattr(kind, "prefix"))
COUNTED: Final = {
    *(reason.value for kind in (DropReason, DeadReason) for reason in kind),
    *(counted.RECEIVED, counted.REPLAYED, counted.DELIVERED, counted.UNCHANGED),
}


def code(name: str) -> str:
    """A script's text without its comments."""
    return re.sub(r"--.*", "", source(name))


def named(scripts: list[Script]) -> list[object]:
    return [pytest.param(script, id=script.name) for script in scripts]


def texts(lua: str) -> Iterator[str]:
    """What is written in quotes, but for the steps of the journal."""
    yield from re.findall(r"'([^']*)'", re.sub(r"'s', '\w+'", "", lua))


def test_every_file_is_a_script_or_a_part_of_one() -> None:
    assert {part for script in SCRIPTS.values() for part in (script.name, *script.after)} == set(FILES)


@pytest.mark.parametrize("script", named(list(SCRIPTS.values())))
def test_every_declared_name_is_used(script: Script) -> None:
    lua = "\n".join(code(name) for name in (*script.after, script.name))
    names = [local_name(name) for name in (*script.keys, *script.args) if name[0] != "#"]
    assert [name for name in names if not re.search(rf"\b{name}\b", lua)] == []


@pytest.mark.parametrize("script", named(list(SCRIPTS.values())))
def test_a_name_means_one_thing_and_only_the_last_stands_for_many(script: Script) -> None:
    names = [local_name(name) for name in (*script.keys, *script.args)]
    assert len(names) == len(set(names))
    assert [name for table in (script.keys, script.args) for name in table[:-1] if name[0] in "*@"] == []


@pytest.mark.parametrize("name", FILES)
def test_no_key_or_argument_goes_by_its_number(name: str) -> None:
    assert re.findall(r"(?:KEYS|ARGV)\[\s*\d+\s*\]|unpack\((?:KEYS|ARGV), \d", code(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_counters_and_reasons_are_arguments(name: str) -> None:
    assert [text for text in texts(code(name)) if text in COUNTED or text.startswith(PREFIXES)] == []


@pytest.mark.parametrize("folder", ["app", "workers"])
def test_no_field_of_the_counters_is_spelled_outside_their_types(folder: str) -> None:
    spelled = re.compile(rf"""f?["'](?:{"|".join(map(re.escape, PREFIXES))})""")
    root = Path(app.__file__).parents[1] / folder
    files = [path for path in root.rglob("*.py") if path.parent.name != "config"]  # a mistake's code looks alike there
    found = {path.name for path in files if spelled.search(path.read_text(encoding="utf-8"))}
    assert found - {"counted.py"} == set()


def test_the_prologue_defines_the_names() -> None:
    assert prologue(("lease", "#dead", "*streams"), ("owner", "@ends")) == [
        "local lease, streams = KEYS[1], {unpack(KEYS, 3)}",
        "local owner, ends_at = ARGV[1], 2",
    ]
    assert prologue((), ()) == ["", ""]


class TestARun:
    SCRIPT: Final = SCRIPTS["release"]
    KEYS: Final = {
        "lease": "{a}:l",
        "generation": "{a}:g",
        "lane_hold": "{a}:lh",
        "destination_hold": "{a}:dh",
        "streams": ["{a}:s1", "{a}:s2"],
    }

    def test_puts_keys_and_arguments_in_order(self) -> None:
        command = self.SCRIPT.command({**self.KEYS}, {"owner": "me"})
        assert command[0] == "EVALSHA"
        assert command[2:] == (6, "{a}:l", "{a}:g", "{a}:lh", "{a}:dh", "{a}:s1", "{a}:s2", "me")
        assert self.SCRIPT.index("streams") == 5

    def test_refuses_a_missing_name(self) -> None:
        with pytest.raises(KeyError, match="owner"):
            self.SCRIPT.command({**self.KEYS}, {})

    def test_refuses_a_name_that_is_not_declared(self) -> None:
        with pytest.raises(TypeError, match="lane"):
            self.SCRIPT.command({**self.KEYS}, {"owner": "me", "lane": "x"})

    async def test_sends_the_text_where_redis_has_forgotten_it(self, redis: Redis) -> None:
        await redis.script_flush()
        assert await self.SCRIPT.run(redis, {**self.KEYS}, {"owner": "me"}) == -1
        assert await self.SCRIPT.run(redis, {**self.KEYS}, {"owner": "me"}) == -1
