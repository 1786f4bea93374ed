"""The state of a sync in S3: whole, never over that of another process, and kept before Redis forgets."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakeredis import FakeAsyncRedis

from app.config.topology import Topology
from app.delivery.row_outcomes import follow, read_outcomes
from app.operations.operator import Operator
from app.rows.remote import RemoteState, copied
from app.rows.state import State
from app.rows.state_failed import StateFailed
from app.rows.storing import StateStore
from app.rows.subject import place_of, subject_of
from app.rows.syncs import overview, standing_of
from tests.rows.s3 import Store

FOLDER = "s3://shop/syncs/"
URL = "s3://shop/syncs/gold.sqlite"


@pytest.fixture
def operator() -> Operator:
    sync = {"destination": "acme", "source": {"csv": "t.csv"}, "key": "id", "object": "attributes"}
    topology = Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "x"}},
            "sources": {"shop": {"write_key": "w", "destination": "acme"}},
            "syncs": {"gold": sync},
        }
    )
    return Operator(cast(Any, SimpleNamespace(sync_state=FOLDER)), topology, cast(Any, FakeAsyncRedis()))


def with_rows(path: Path, *keys: bytes) -> bytes:
    with State(path) as state:
        state.accept((key, b"hash") for key in keys)
        return state.packed()


def test_a_place_is_a_file_or_an_object() -> None:
    assert place_of("data/syncs", "gold") == Path("data/syncs/gold.sqlite")
    assert place_of(FOLDER, "gold") == URL


def test_what_is_stored_is_what_the_next_process_finds(s3: Store, operator: Operator, tmp_path: Path) -> None:
    with copied(subject_of(operator, "gold")) as (path, remote):
        assert not path.exists()
        assert remote is not None
        remote.store(with_rows(path, b"a", b"b"))
        remote.store(with_rows(path, b"c"))
    assert list(s3.objects) == ["shop/syncs/gold.sqlite"]
    assert standing_of(operator, "gold").accepted == 3


def test_what_another_process_has_written_is_not_overwritten(s3: Store, tmp_path: Path) -> None:
    first, second = RemoteState(URL), RemoteState(URL)
    assert not first.fetch(tmp_path / "first")
    assert not second.fetch(tmp_path / "second")
    first.store(b"first")
    with pytest.raises(StateFailed, match="Another process has written"):
        second.store(b"second")
    assert second.fetch(tmp_path / "second")
    second.store(b"second")
    with pytest.raises(StateFailed, match="Another process has written"):
        first.store(b"first again")
    assert s3.objects == {"shop/syncs/gold.sqlite": b"second"}


def test_a_store_that_does_not_answer_ends_the_run(s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StateFailed, match=r"gold\.sqlite cannot be read"):
        RemoteState("s3://shop/syncs/gold.sqlite").fetch(tmp_path / "state")


def test_a_store_that_compares_nothing_keeps_no_state(tmp_path: Path) -> None:
    with pytest.raises(StateFailed, match="must be a folder, or begin with s3://"):
        RemoteState("memory://shop/gold.sqlite").fetch(tmp_path / "state")


async def test_redis_forgets_how_rows_ended_once_the_state_is_stored(s3: Store, operator: Operator) -> None:
    subject = subject_of(operator, "gold")
    await follow(operator.redis, "acme", [b"row"])
    with copied(subject) as (path, remote), State(path) as state:
        store = StateStore(operator, subject, state, remote)
        await store.unfollow([b"row"])
        assert await read_outcomes(operator.redis, "acme", [b"row"]) == [""]
        state.accept([(b"key", b"hash")])
        await store.keep()
    assert await read_outcomes(operator.redis, "acme", [b"row"]) == [None]
    (found,) = await overview(operator, ["gold"])
    assert (found.standing.accepted, found.has_state) == (1, False)
