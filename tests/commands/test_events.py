"""`attentive-gateway events`: what it prints, and that a tail that is stopped goes on without a gap."""

import io
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, cast

import orjson
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.cli import cli
from app.commands import events
from app.commands.common import OperatorConsole, table_with
from app.delivery.journal.event_rows import EventFilter, Followed, position_of, position_text
from app.delivery.journal.recording import Recording
from app.operations.events import checked, following, listing, position_in, stories
from app.operations.operator import BadRequest, NotFound, Operator
from app.store.keys import DestinationKeys
from tests.builders import track
from tests.delivery.history import ACME, History

ORDER: Final[Mapping[str, Any]] = {
    "order_id": "1001",
    "products": [{"product_id": "p", "name": "Mug", "price": 5, "currency": "USD"}],
}


@pytest.fixture
def operator(redis: Redis) -> Operator:
    settings = SimpleNamespace(journal_entries=100_000, journal_hours=72.0)
    topology = SimpleNamespace(destinations={ACME: None, "beta": None}, sources={"shop": None})
    return Operator(cast(Any, settings), cast(Any, topology), cast(Any, redis))


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        pytest.param(EventFilter(source="sop"), "There is no source 'sop'. The sources are: shop.", id="a source"),
        pytest.param(EventFilter(endpoint="buy"), "There is no endpoint 'buy'.", id="an endpoint"),
    ],
)
def test_a_filter_that_can_never_match_is_refused(operator: Operator, wanted: EventFilter, rule: str) -> None:
    with pytest.raises(BadRequest, match=rule.replace(".", r"\.")):
        checked(operator, wanted)


@pytest.mark.parametrize("text", ["", "x", "acme", "acme=", "acme=1", "other=1-1", "acme=1-x"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a position"):
        position_in(text, [ACME])


def test_a_position_comes_back_as_it_was() -> None:
    position = {"acme": "1764498391123-5", "beta": "+"}
    assert position_of(position_text(position), position) == position


async def test_pages_follow_each_other_over_destinations_without_events(operator: Operator) -> None:
    history = History(operator.redis)
    await history.arrive(*[track("Order Completed", ORDER) for _ in range(5)])
    found, before = [], None
    for _ in range(9):
        page = await listing(operator, EventFilter(), None, limit=2, before=before)
        found += [event.message_id for event in page.events]
        if page.older is None:
            break
        before = position_text(page.older)
    assert found == ["m-5", "m-4", "m-3", "m-2", "m-1"]


async def test_a_message_id_that_is_not_known_ends_with_what_is_kept(operator: Operator) -> None:
    with pytest.raises(NotFound, match=r"Nothing is known of 'x'\. The journal keeps the last 100,000 entries"):
        await stories(operator, "x")


async def printed(tail: "events._Tail", operator: Operator, until: Callable[[Followed], bool]) -> None:
    """Follow until a batch is the last one."""
    batches = await following(operator, EventFilter(), ACME, tail._after)
    async for batch in batches:
        await tail._print(operator, batch)
        tail._after = position_text(batch.position)
        if until(batch):
            break
    await batches.aclose()


async def test_a_tail_that_is_stopped_goes_on_without_a_gap(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History(operator.redis, recording=Recording())
    await history.arrive(track("Order Completed", ORDER))
    tail = events._Tail("acme=0-0", with_calls=True, as_json=True)
    await printed(tail, operator, lambda batch: bool(batch.rows))
    tail.stopped()
    stopped = capsys.readouterr()
    assert "attentive-gateway events tail --after acme=" in stopped.err
    await history.arrive(track("Order Completed", ORDER))  # nobody follows
    await history.arrive(track("Order Completed", ORDER))
    rest = events._Tail(stopped.err.split("--after ")[1].strip(), with_calls=True, as_json=True)
    await printed(rest, operator, lambda batch: bool(batch.rows))
    lines = [orjson.loads(line) for line in (stopped.out + capsys.readouterr().out).splitlines()]
    assert [line["message_id"] for line in lines] == ["m-1", "m-2", "m-3"]


async def test_calls_are_recorded_while_a_tail_runs(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    history = History(operator.redis)
    await history.arrive(track("Order Completed", ORDER))
    rows = await following(operator, EventFilter(), ACME, "acme=0-0")
    assert len((await anext(rows)).rows) == 1
    assert await operator.redis.exists(DestinationKeys(ACME).tap) == 1
    await history.attempt("purchase")
    tail = events._Tail(None, with_calls=True, as_json=False)
    await tail._print(operator, await anext(rows))
    await rows.aclose()
    text = capsys.readouterr().out
    assert "delivered" in text
    assert "POST /v1/events/ecommerce/purchase -> 200" in text
    assert '"name": "Mug"' in text
    assert "ada@example.com" not in text
    assert await operator.redis.exists(DestinationKeys(ACME).tap) == 0


async def test_a_story_prints_each_step_and_the_calls(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    history = History(operator.redis, recording=Recording(share=1.0))
    await history.arrive(track("Order Completed", ORDER))
    await history.attempt("purchase")
    (story,) = await stories(operator, "m-1")
    events._print_story(story)
    text = capsys.readouterr().out
    assert "Order Completed of shop, to acme: delivered" in text
    assert "-> 200" in text
    assert orjson.loads(orjson.dumps(events._story(story)))["recorded_calls"][0]["status"] == 200


@pytest.mark.parametrize("command", ["list", "tail", "show"])
def test_each_command_has_help(command: str) -> None:
    answer = CliRunner().invoke(cli, ["events", command, "--help"])
    assert answer.exit_code == 0, answer.output


HOSTILE: Final = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r\n09:00:00.000  delivered"


async def test_what_a_tracker_wrote_controls_no_terminal(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    await History(operator.redis).arrive(track(HOSTILE, messageId=HOSTILE))
    tail = events._Tail("acme=0-0", with_calls=False, as_json=False)
    await printed(tail, operator, lambda batch: bool(batch.rows))
    shown = capsys.readouterr().out
    assert "evil" in shown
    assert len(shown.splitlines()) == 1
    assert shown.strip().isprintable()


@pytest.mark.parametrize("cells", [True, False], ids=["in a table", "in a line"])
def test_no_text_controls_the_terminal_of_an_operator(cells: bool) -> None:
    console = OperatorConsole(file=io.StringIO(), width=200)
    table = table_with("event")
    table.add_row(HOSTILE)
    console.print(table if cells else HOSTILE, markup=False)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "evil" in shown
    assert all(line.isprintable() for line in shown.split("\n"))
