"""No Lua script's work grows with what Redis holds: each works in slices, so that none holds up Redis for long.

`make bench-scripts` measures the time of the worst inputs. Here their work is counted: commands, their arguments, and
the elements of their answers.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from arq.connections import ArqRedis

from app.store.connection import open_redis
from app.store.script import SCRIPTS, Script
from benchmarks.scripts import SCENARIOS, Scenario, largest_claim, largest_dead_batch, many_profile_updates, with_table

MOST: Final = 10_000  # of one run: a command with its arguments and its answer takes 0.1 to 2 µs for each of them
PARTS: Final = (0.25, 0.5)  # more than fills the slices of most scripts
WHOLE: Final = (0.5, 1.0)  # and these fill those of the rest
LARGE: Final[Sequence[Scenario]] = (largest_dead_batch, largest_claim, many_profile_updates)
SLACK: Final = 40
FEW: Final = 0.02
SOURCES: Final = Path(str(files("app.store"))) / "scripts"
PARTS_OF_SCRIPTS: Final = {
    *("entry_id", "journal", "calls", "close", "dead_letters", "last_sent", "pace"),
    *("held", "shared_hash", "contacts", "records", "profiles"),
}
WORK: Final = "work of scripts"  # a hash: name and number of a run → what it did
RUNS: Final = "runs of scripts"
_COUNTED: Final = """
local server, work = redis, 0
local run = '%s:' .. server.call('INCR', '%s')
local function size(value)
  if type(value) ~= 'table' then return 1 end
  local all = 1
  for _, each in ipairs(value) do all = all + size(each) end
  return all
end
local function counting(command)
  return function(...)
    local answer = server[command](...)
    work = work + select('#', ...) + size(answer)
    server.call('HSET', '%s', run, work)
    return answer
  end
end
local redis = {call = counting('call'), pcall = counting('pcall')}
"""


def counted(name: str, text: str) -> str:
    """A script that counts what it does, in Redis."""
    return _COUNTED % (name, RUNS, WORK) + text


def _set(script: Script, text: str) -> None:
    script.text, script._sha = text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@contextmanager
def counting() -> Iterator[None]:
    """Have all scripts count what they do, in Redis."""
    texts = {script: script.text for script in SCRIPTS.values()}
    try:
        for script, text in texts.items():
            _set(script, counted(script.label, text))
        yield
    finally:
        for script, text in texts.items():
            _set(script, text)


async def most_work(redis: ArqRedis) -> Mapping[str, int]:
    """The most that one run of each script has done."""
    most: dict[str, int] = {}
    runs: Any = await redis.hgetall(WORK)  # type: ignore[misc]
    for run, work in runs.items():
        name = run.decode().partition(":")[0]
        most[name] = max(most.get(name, 0), int(work))
    return most


async def work_of(scenario: Scenario, part: float, redis: ArqRedis) -> Mapping[str, int]:
    """The most that each script does in one run, with this part of the worst input."""
    await redis.flushall()
    with counting():
        await scenario(redis, part)
    return await most_work(redis)


@pytest.mark.parametrize("scenario", [pytest.param(each, id=title) for title, each in SCENARIOS.items()])
async def test_the_work_of_no_script_grows_with_what_redis_holds(scenario: Scenario, url: str) -> None:
    redis = open_redis(url)
    parts = WHOLE if scenario in LARGE else PARTS
    half, whole = [await work_of(scenario, part, redis) for part in parts]
    await redis.aclose(close_connection_pool=True)
    assert {name: work for name, work in whole.items() if work > MOST} == {}
    assert {name: (half[name], work) for name, work in whole.items() if work > 1.1 * half[name] + SLACK} == {}


def test_the_table_is_written_into_the_page_whatever_it_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    for table in ("| one |", "| two |"):
        page = with_table(page, table)
        assert f"<!-- scripts -->\n{table}\n<!-- /scripts -->" in page


async def test_every_script_has_a_worst_input(url: str) -> None:
    redis, run = open_redis(url), set[str]()
    for scenario in SCENARIOS.values():
        run |= (await work_of(scenario, FEW, redis)).keys()
    await redis.aclose(close_connection_pool=True)
    assert run == SCRIPTS.keys()
    assert {SCRIPTS[label].name for label in run} == {path.stem for path in SOURCES.glob("*.lua")} - PARTS_OF_SCRIPTS


async def test_the_work_of_a_script_that_reads_all_there_is_grows(url: str) -> None:
    """So that the first test can fail."""
    redis, work = open_redis(url), []
    for number in (500, 1_000):
        await redis.flushall()
        await redis.rpush("letters", *range(number))  # type: ignore[misc]
        text = counted("any", "redis.call('LRANGE', 'letters', 0, -1)")
        await redis.execute_command("EVAL", text, 0)  # type: ignore[no-untyped-call]
        work.append((await most_work(redis))["any"])
    await redis.aclose(close_connection_pool=True)
    assert work == [505, 1_005]
