"""A mirrored audience removes no one by mistake: a model against the real runner, with faulty tables."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

import orjson
import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.attentive.answers import Reply, Unreachable
from app.config.destination import Destination
from app.config.topology import Topology
from app.operations.operator import Operator
from app.rows.bulk import member_of
from app.rows.events import RowEvents
from app.rows.files import SourceFailed
from app.rows.forecast import Forecast, forecast
from app.rows.guard import SyncRefused
from app.rows.outcomes import Op, RunState
from app.rows.run import Finished, Outside, Runner
from app.rows.staged import Planned
from app.rows.state import State
from app.rows.storing import StateStore
from app.rows.subject import subject_of
from app.wiring.gateway import plan_of_rows
from tests.generated import WHOLE, share_of
from tests.rows.test_shape import sync

T = TypeVar("T")
OTHERS: Final = tuple(f"other{number}@example.com" for number in range(3))
KEYS: Final = st.integers(0, 22)
EMAILS: Final = st.integers(0, 22).map(lambda number: f"p{number}@example.com")


class Killed(BaseException):
    """The process ends here."""


class FakeAttentive:
    """A segment by the vendor's document: people are known by their address, and jobs are done at once."""

    def __init__(self) -> None:
        self.made = False
        self.members = set(OTHERS)
        self.ours: set[str] = set()  # that were ever added by us
        self.removed: list[str] = []
        self.calls_left = 10**9  # then the process is killed, before or after the call has its effect
        self.after = False
        self._jobs: dict[str, bytes] = {}

    def _step(self) -> bool:
        """Whether the call has its effect. Raises Killed."""
        self.calls_left -= 1
        if self.calls_left < 0 and not self.after:
            raise Killed
        return self.calls_left < 0

    async def bulk(self, method: str, path: str, body: bytes) -> Reply | Unreachable:
        dies = self._step()
        records = orjson.loads(body)["members"]
        for record in records:
            if method == "POST":
                self.members.add(record["email"])
                self.ours.add(record["email"])
            else:
                self.removed.append(record["email"])
                self.members.discard(record["email"])
        if dies:
            raise Killed
        job = str(len(self._jobs))
        self._jobs[job] = b"\n".join(orjson.dumps({"response": {"status": 200}}) for _ in records)
        return Reply(202, orjson.dumps({"batchJobId": job}))

    async def job(self, job_id: str) -> Reply | Unreachable:
        self._step()
        return Reply(200, orjson.dumps({"status": "COMPLETED", "url": job_id}))

    async def results(self, url: str) -> bytes | None:
        return self._jobs[url]

    async def segment(self, external_id: str) -> Reply | Unreachable:
        self._step()
        return Reply(200 if self.made else 404, b"{}")

    async def create_segment(self, body: bytes) -> Reply | Unreachable:
        self.made = True
        return Reply(201, b"{}")


async def at_once(_seconds: float) -> None:
    """No wait."""


class Shop:
    """A table of members, its audience, and the process that keeps both alike."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attentive = FakeAttentive()
        self._loop = asyncio.Runner()
        self._redis = FakeAsyncRedis()
        self.source = "members.ndjson"
        self.column = "email"

    def close(self) -> None:
        self._do(self._redis.aclose())
        self._loop.close()

    def _do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self._loop.run(run())

    def write(self, lines: list[dict[str, Any]], *, cut: bool = False) -> None:
        text = "\n".join(map(json.dumps, lines))
        (self.folder / self.source).write_text(text[: len(text) // 2 * 2 - 3] if cut else text)

    def operator(self) -> Operator:
        sync = {
            "destination": "acme",
            "source": {"ndjson": str(self.folder / self.source)},
            "key": "id",
            "object": "audience",
            "mode": "mirror",
            "identifiers": {"email": self.column},
            "segment": {"external_id": "gold", "name": "Gold"},
        }
        topology = Topology.model_validate(
            {
                "destinations": {"acme": {"api_token": "x"}},
                "sources": {"shop": {"write_key": "w", "destination": "acme"}},
                "syncs": {"gold": sync},
            }
        )
        made = SimpleNamespace(sync_state=self.folder / "state")
        return Operator(cast(Any, made), topology, cast(Any, self._redis))

    def forecast(self) -> Forecast:
        return self._do(forecast(self.operator(), "gold"))

    def run(self) -> Finished | None:
        return self._do(self._run())

    @contextmanager
    def _runner(self) -> Iterator[tuple[Runner, State]]:
        """The steps of the sync, sent to the fake Attentive."""

        @asynccontextmanager
        async def connect(_: object) -> AsyncIterator[FakeAttentive]:
            yield self.attentive

        operator = self.operator()
        subject = subject_of(operator, "gold")
        with State(Path(subject.place)) as state:
            store = StateStore(operator, subject, state)
            yield Runner(operator, subject, store, outside=Outside(connect, at_once)), state

    async def _run(self) -> Finished | None:
        with self._runner() as (runner, _):
            await runner.resume(wait=True)
            return await runner.run(wait=True, baseline=False, resend=False)

    def approve(self) -> None:
        async def approved() -> None:
            with self._runner() as (runner, state):
                held = state.runs()[0]
                assert held.state is RunState.HELD
                await runner.approve(held.id, wait=True)

        self._do(approved())


class MirrorMachine(RuleBasedStateMachine):
    """The table is changed, cut off, emptied, halved and read by other columns; runs are killed, states are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.shop = Shop(self.folder)
        self.table: dict[int, str] = {number: f"p{number}@example.com" for number in range(20)}
        self.seen = 0  # removals that were judged
        self.run(approve=False)

    def teardown(self) -> None:
        self.shop.close()
        shutil.rmtree(self.folder)

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {"id": key, "email": email, "wrong": f"x{key}@example.com"} for key, email in sorted(self.table.items())
        ]

    def _run_refused(self) -> None:
        before = len(self.shop.attentive.removed)
        with suppress(SyncRefused, SourceFailed):
            self.shop.run()
        assert len(self.shop.attentive.removed) == before

    @rule(key=KEYS, email=EMAILS)
    def change_a_row(self, key: int, email: str) -> None:
        self.table[key] = email

    @rule(key=KEYS)
    def delete_a_row(self, key: int) -> None:
        self.table.pop(key, None)

    @rule(approve=st.booleans())
    def run(self, approve: bool) -> None:
        self.shop.write(self._lines())
        try:
            self.shop.run()
        except SyncRefused:
            if not approve:
                return
            self.shop.approve()
        assert self.shop.attentive.members >= set(self.table.values())
        assert self.shop.attentive.members - set(self.table.values()) <= set(OTHERS) | self.unknown()

    def unknown(self) -> set[str]:
        """Members that a lost state or another segment's run has added: nobody removes them."""
        return self.shop.attentive.ours if self.lost else set()

    lost = False

    @rule(calls=st.integers(0, 6), after=st.booleans())
    def run_and_be_killed(self, calls: int, after: bool) -> None:
        self.shop.write(self._lines())
        self.shop.attentive.calls_left, self.shop.attentive.after = calls, after
        with suppress(Killed, SyncRefused):
            self.shop.run()
        self.shop.attentive.calls_left = 10**9

    @rule()
    def read_a_file_that_is_cut_off(self) -> None:
        self._finish_what_was_interrupted()
        self.shop.write(self._lines(), cut=True)
        self._run_refused()

    @rule()
    def read_an_empty_table(self) -> None:
        self._finish_what_was_interrupted()
        self.shop.write([])
        self._run_refused()

    @rule()
    def read_half_of_the_table(self) -> None:
        self._finish_what_was_interrupted()
        if len(self.table) >= 4:
            self.shop.write(self._lines()[::2])
            self._run_refused()

    @rule()
    def read_a_row_without_its_key(self) -> None:
        self._finish_what_was_interrupted()
        self.shop.write([{**line, "id": None} if number == 0 else line for number, line in enumerate(self._lines())])
        self._run_refused()

    @rule()
    def read_other_columns(self) -> None:
        self._finish_what_was_interrupted()
        if self.shop.attentive.ours and not self.lost:
            self.shop.write(self._lines())
            self.shop.column = "wrong"
            self._run_refused()
            self.shop.column = "email"
            self.lost = True  # where nobody was a member yet, the wrong addresses are now

    @rule()
    def lose_the_state(self) -> None:
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        self.lost = True

    def _finish_what_was_interrupted(self) -> None:
        self.shop.write(self._lines())
        with suppress(SyncRefused):
            self.shop.run()

    @invariant()
    def nobody_in_the_table_was_removed_and_none_of_others(self) -> None:
        removed = self.shop.attentive.removed
        for email in removed[self.seen :]:
            assert email in self.shop.attentive.ours
            assert email not in OTHERS
            assert email not in self.table.values() or email in self.shop.attentive.members
        self.seen = len(removed)


MirrorMachine.TestCase.settings = settings(
    max_examples=300 if WHOLE else share_of(75),
    stateful_step_count=10,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


TestMirror = pytest.mark.hypothesis(MirrorMachine.TestCase)


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    made = Shop(tmp_path)
    yield made
    made.close()


def lines(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": number, "email": f"p{number}@example.com"} for number in numbers]


def test_removals_beyond_the_limit_wait_for_an_approval_of_that_plan(shop: Shop) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    shop.write(lines(*range(18)))
    shop.run()
    assert shop.attentive.removed == ["p18@example.com", "p19@example.com"]
    shop.write(lines(*range(10)))
    with pytest.raises(SyncRefused, match="would remove 8 people of 18") as refused:
        shop.run()
    assert refused.value.code == "too_many_removals"
    shop.write(lines())
    shop.approve()
    assert shop.attentive.members == {*OTHERS, *(f"p{number}@example.com" for number in range(10))}


def test_a_person_with_two_rows_stays_while_one_of_them_does(shop: Shop) -> None:
    shop.write([*lines(*range(20)), {"id": 99, "email": "p3@example.com"}])
    shop.run()
    shop.write(lines(*range(20)))
    done = shop.run()
    assert shop.attentive.removed == []
    assert done is not None
    assert done.report.reasons == {}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", range(3))
def test_people_who_change_rows_stay_members_wherever_the_run_is_killed(shop: Shop, calls: int, after: bool) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    before = set(shop.attentive.members)
    changed = [
        {**line, "email": f"p{[1, 2, 0][line['id']]}@example.com"} if line["id"] < 3 else line
        for line in lines(*range(20))
    ]
    shop.write(changed)
    shop.attentive.calls_left, shop.attentive.after = calls, after
    with suppress(Killed):
        shop.run()
    assert shop.attentive.members == before
    assert shop.attentive.removed == []


def test_a_row_keeps_no_former_member_of_its_own(shop: Shop) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    shop.write([{**line, "email": "new@example.com"} if line["id"] == 3 else line for line in lines(*range(20))])
    shop.run()
    assert shop.attentive.removed == ["p3@example.com"]
    assert "new@example.com" in shop.attentive.members


def test_a_member_whose_row_cannot_be_read_stays_until_the_row_is_gone(shop: Shop) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    unreadable: Any = "p3@example.com"
    for _ in range(300):  # deeper than JSON can be written
        unreadable = [unreadable]
    shop.write([{**line, "email": unreadable} if line["id"] == 3 else line for line in lines(*range(20))])
    done = shop.run()
    assert done is not None
    assert done.report.reasons == {"dropped:value_unsupported": 1}
    assert shop.attentive.removed == []
    shop.write([line for line in lines(*range(20)) if line["id"] != 3])
    shop.run()
    assert shop.attentive.removed == ["p3@example.com"]


def test_a_member_whom_only_a_row_names_that_is_not_sent_leaves_with_that_row(shop: Shop) -> None:
    shop.write(lines(*range(40)))
    shop.run()
    shared = [{**line, "phone": "+14155550132"} if line["id"] > 30 else line for line in lines(*range(40))]
    shared[1] |= {"email": "new@example.com"}
    shared[39] |= {"email": "p1@example.com"}
    for rows, removed in ((shared, []), (shared, []), (shared[:39], ["p1@example.com", "p39@example.com"])):
        shop.write(rows)
        done = shop.run()
        assert done is not None
        assert done.report.reasons == {"dropped:identifier_shared": len(rows) - 31}
        assert sorted(shop.attentive.removed) == removed


def test_members_who_share_a_number_are_not_linked_and_a_dry_run_counts_them(shop: Shop) -> None:
    shop.write([{**line, "phone": "+14155550132"} if line["id"] < 8 else line for line in lines(*range(20))])
    planned = shop.forecast()
    done = shop.run()
    assert done is not None
    assert done.report.reasons == planned.not_sent == {"dropped:identifier_shared": 8}
    assert (planned.read, planned.ops, planned.calls) == (20, {Op.BAD: 8, Op.NEW: 12}, {"segment-members": 12})
    assert shop.attentive.members == {*OTHERS, *(f"p{number}@example.com" for number in range(8, 20))}


def test_a_member_whose_row_shares_a_number_now_stays(shop: Shop) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    before = set(shop.attentive.members)
    shop.write([{**line, "phone": "+14155550132"} for line in lines(*range(20)) if line["id"] != 19])
    assert (shop.forecast().removals, shop.forecast().read) == (1, 19)
    shop.run()
    assert shop.attentive.members == before - {"p19@example.com"}


def test_a_member_whose_row_names_nobody_any_more_stays(shop: Shop) -> None:
    shop.write(lines(*range(20)))
    shop.run()
    shop.write([{**line, "email": "n/a"} if line["id"] == 3 else line for line in lines(*range(20))])
    done = shop.run()
    assert shop.attentive.removed == []
    assert done is not None
    assert done.report.rejected == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param({"type": "identify", "traits": {}}, "no_identity", id="no identifier"),
        pytest.param({"type": "identify", "userId": ["a"], "traits": {}}, "invalid", id="an ID that is a list"),
    ],
)
def test_a_row_that_is_no_valid_event_ends_as_it_does_in_lanes(content: dict[str, Any], code: str) -> None:
    account = Destination.model_validate({"api_token": "x"})
    plan = plan_of_rows(account, sync(object="audience", mode="add", segment={"external_id": "g", "name": "Gold"}))
    row = Planned(1, b"key", orjson.dumps(content), None)
    assert member_of(row, RowEvents("gold", "sync:gold", "run", plan, {}), plan) == (None, f"dropped:{code}")
