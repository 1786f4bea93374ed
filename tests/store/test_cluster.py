"""A client of a cluster: commands reach the owner of their slot, also while slots move and a node is away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, TryAgainError, WatchError

from app.delivery.lag import LagCounts
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.delivery.pressure import PressureGauge
from app.delivery.sharded_outbox import ShardedOutbox
from app.embedded import RedisBinary
from app.profiles.lookup import ProfileLookup
from app.store.cluster import ClusterRedis, Topology, slot_of
from app.store.connection import QueueUnavailable, open_redis, why_unavailable
from app.store.keys import ARQ_QUEUE, ARQ_TAG
from app.store.script import Script
from app.store.shards import by_shard, each_shard, is_cluster, shard_names
from tests.clusters import SLOTS, LocalCluster
from tests.waiting import patient, until

TAGS: Final = [f"shop-{number}" for number in range(12)]  # on all nodes of three
SUM: Final = "return (redis.call('GET', KEYS[1]) or 0) + (redis.call('GET', KEYS[2]) or 0) + ARGV[1]"


@pytest.fixture(scope="module")
def cluster(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    if redis_binary.version < (7,):
        pytest.skip("its cluster cannot be told which port to use between nodes")
    nodes = LocalCluster(redis_binary, tmp_path_factory.mktemp("cluster"))
    try:
        nodes.start(3)
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Redis]:
    """A client of an empty cluster."""
    redis = open_redis(cluster.url)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


def elsewhere(cluster: LocalCluster, key: str) -> int:
    """A node that does not own the slot of a key."""
    return next(port for port in cluster.living() if port != cluster.owner(key))


@pytest.mark.parametrize(
    ("command", "key"),
    [
        pytest.param(("GET", "a"), "a", id="the first argument"),
        pytest.param(("EVALSHA", "sha", 2, "{a}:1", "{a}:2"), "a", id="a script's first key"),
        pytest.param(("EVAL", "return 1", 0), None, id="none of a script without keys"),
        pytest.param(
            ("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, b"STREAMS", "a", ">"), "a", id="a stream that is read"
        ),
        pytest.param(("XREAD", "BLOCK", 5, "STREAMS", b"a", "0"), "a", id="a stream in bytes"),
        pytest.param(("XGROUP CREATE", "a", "g", "0"), "a", id="behind two words in one"),
        pytest.param(("XINFO", "STREAM", "a"), "a", id="behind two words"),
        pytest.param(("MEMORY USAGE", "a"), "a", id="of a key whose memory is asked"),
        pytest.param(("SCAN", 0, b"MATCH", "{a}:x:*"), "a", id="a pattern's hash tag"),
        pytest.param(("SCAN", 0, b"MATCH", "x:*"), None, id="none of a pattern without a tag"),
        pytest.param(("INFO", "memory"), None, id="none of a question about the server"),
    ],
)
def test_the_key_that_decides_about_the_node_is(command: Sequence[Any], key: str | None) -> None:
    assert slot_of(command) == (None if key is None else slot_of(("GET", key)))


class TestTheTopology:
    async def test_fails_while_no_node_answers_and_goes_on_when_one_does(self) -> None:
        """A node that hangs takes its time to fail: a command that waited for the topology must not wait for it too."""
        node, is_away = ("10.0.0.1", 6379), False

        async def ask(_: tuple[str, int]) -> list[tuple[int, int, tuple[str, int]]]:
            if is_away:
                raise RedisConnectionError
            return [(0, SLOTS - 1, node)]

        async def becomes(expected: str) -> None:
            found = ""
            async with asyncio.timeout(patient(10)):  # the nodes are not asked again at once
                while found != expected:
                    try:
                        found = "owned" if await topology.owner(7) == node else "another node"
                    except RedisConnectionError:
                        found = "no answer"
                    await asyncio.sleep(0)

        topology = Topology(ask, [node])
        await becomes("owned")
        is_away = True
        topology.suspect(node)
        await becomes("no answer")
        with pytest.raises(RedisConnectionError):
            await topology.owner(7)
        is_away = False
        await becomes("owned")


class TestCommands:
    async def test_of_one_pipeline_reach_all_nodes_and_are_answered_in_order(
        self, cluster: LocalCluster, client: Redis
    ) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for number, tag in enumerate(TAGS):
                pipeline.set(f"{{{tag}}}:n", number)
                pipeline.get(f"{{{tag}}}:n")
            answers = await pipeline.execute()
        assert answers[1::2] == [str(number).encode() for number in range(len(TAGS))]
        assert all(cluster.ask(port, "DBSIZE") for port in cluster.living())

    async def test_of_a_transaction_run_on_the_node_of_their_keys(self, client: Redis) -> None:
        for tag in TAGS:
            async with client.pipeline(transaction=True) as pipeline:
                await pipeline.watch(f"{{{tag}}}:n")
                assert await pipeline.get(f"{{{tag}}}:n") is None
                pipeline.multi()  # type: ignore[no-untyped-call]
                pipeline.incr(f"{{{tag}}}:n")
                pipeline.incr(f"{{{tag}}}:n")
                assert await pipeline.execute() == [1, 2]

    async def test_of_a_watched_transaction_notice_a_change(self, client: Redis) -> None:
        async with client.pipeline(transaction=True) as pipeline:
            await pipeline.watch("{shop-1}:n")
            await client.set("{shop-1}:n", 7)
            pipeline.multi()  # type: ignore[no-untyped-call]
            pipeline.incr("{shop-1}:n")
            with pytest.raises(WatchError):
                await pipeline.execute()

    async def test_read_streams_of_several_nodes(self, client: Redis) -> None:
        streams: dict[Any, Any] = {f"{{{tag}}}:s": "0" for tag in TAGS}
        assert await client.xread(streams, block=1) == []
        reading = asyncio.ensure_future(client.xread(streams, block=20_000))
        await client.xadd("{shop-5}:s", {"n": 1})
        ((name, entries),) = await reading
        assert (name, len(entries)) == (b"{shop-5}:s", 1)

    async def test_scan_the_node_of_a_destination(self, client: Redis) -> None:
        for tag in TAGS:
            await client.set(f"{{{tag}}}:last_sent:x", 1)
        for tag in TAGS:
            found = [key async for key in client.scan_iter(match=f"{{{tag}}}:last_sent:*")]
            assert found == [f"{{{tag}}}:last_sent:x".encode()]

    async def test_of_arq_share_one_slot(self, client: ClusterRedis) -> None:
        assert await client.enqueue_job("drain", "shop", _job_id=f"{ARQ_TAG}drain:shop:1") is not None
        assert await client.enqueue_job("drain", "shop", _job_id=f"{ARQ_TAG}drain:shop:1") is None
        assert [job.function for job in await client.queued_jobs()] == ["drain"]
        slots = {slot_of(("GET", name)) for name in (ARQ_QUEUE, "arq:abort", f"arq:job:{ARQ_TAG}drain:shop:1")}
        assert len(slots) == 1

    async def test_are_grouped_by_shard(self, cluster: LocalCluster, client: Redis) -> None:
        shards = await by_shard(client, TAGS)
        assert sorted(tag for shard in shards for tag in shard) == sorted(TAGS)
        owners = [{cluster.owner(f"{{{tag}}}") for tag in shard} for shard in shards]
        assert sorted(map(len, owners)) == [1, 1, 1]
        assert is_cluster(client)
        names = await shard_names(client, TAGS)
        assert {tag: name.partition(",")[0] for tag, name in names.items()} == {
            tag: f"127.0.0.1:{cluster.owner(f'{{{tag}}}')}" for tag in TAGS
        }


class TestASlotThatMoves:
    async def test_is_followed(self, cluster: LocalCluster, client: Redis) -> None:
        await client.set("{moving}:n", 1)
        cluster.move_slot("{moving}", elsewhere(cluster, "{moving}"))
        assert await client.incr("{moving}:n") == 2
        cluster.move_slot("{moving}", elsewhere(cluster, "{moving}"))
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.incr("{moving}:n")
            pipeline.incr("{shop-1}:n")
            assert await pipeline.execute() == [3, 1]
        cluster.move_slot("{moving}", elsewhere(cluster, "{moving}"))
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.incr("{moving}:n")
            assert await pipeline.execute() == [4]
        cluster.move_slot("{moving}", elsewhere(cluster, "{moving}"))
        async with client.pipeline(transaction=True) as pipeline:
            await pipeline.watch("{moving}:n")
            pipeline.multi()  # type: ignore[no-untyped-call]
            pipeline.incr("{moving}:n")
            assert await pipeline.execute() == [5]

    async def test_is_asked_for_where_it_is_going(self, cluster: LocalCluster, client: Redis) -> None:
        await client.set("{going}:old", 1)
        source, target = cluster.owner("{going}"), elsewhere(cluster, "{going}")
        with cluster.moving("{going}", target):
            await client.set("{going}:new", 2)
            assert await client.get("{going}:old") == b"1"
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.get("{going}:new")
                pipeline.get("{going}:old")
                assert await pipeline.execute() == [b"2", b"1"]
            assert cluster.ask(source, "DBSIZE") == 1
        assert await client.get("{going}:old") == b"1"

    async def test_is_waited_for_by_a_script_whose_keys_are_on_two_nodes(
        self, cluster: LocalCluster, client: Redis
    ) -> None:
        script = Script.__new__(Script)
        script.name, script.keys, script.args, script.text, script._sha = "sum", ("a", "b"), ("c",), SUM, "0" * 40
        keys = {"a": "{split}:a", "b": "{split}:b"}
        await client.set(keys["a"], 1)
        await client.set(keys["b"], 2)
        with cluster.moving("{split}", elsewhere(cluster, "{split}"), keys=1):
            with pytest.raises(TryAgainError) as refusal:
                await script.run(client, keys, {"c": 10})
            assert why_unavailable(refusal.value) == "redis_slot_moving"
            waiting = asyncio.create_task(script.run(client, keys, {"c": 10}))
            await asyncio.sleep(0)
        assert await waiting == 13


class TestOneNodeIsAway:
    @pytest.fixture
    def away(self, cluster: LocalCluster, client: Redis) -> Iterator[tuple[str, str]]:
        """A destination whose node is away, and one whose node is not."""
        gone = cluster.owner("{shop-0}")
        other = next(tag for tag in TAGS if cluster.owner(f"{{{tag}}}") != gone)
        cluster.kill(gone)
        yield "shop-0", other
        cluster.start_node(gone)
        cluster.wait_for_all()

    async def test_the_others_go_on(self, client: Redis, away: tuple[str, str]) -> None:
        gone, other = away
        with pytest.raises(RedisError):
            await client.set(f"{{{gone}}}:n", 1)
        assert await client.set(f"{{{other}}}:n", 1)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.get(f"{{{gone}}}:n")
            pipeline.get(f"{{{other}}}:n")
            lost, answer = await pipeline.execute(raise_on_error=False)
        assert isinstance(lost, RedisError)
        assert answer == b"1"

    async def test_events_of_the_others_are_stored(self, client: Redis, away: tuple[str, str]) -> None:
        gone, other = away
        outbox = ShardedOutbox(lambda name: Outbox(client, wake=lambda *_: None, journal_entries=10, destination=name))
        event = OutboxEvent(b"key", "m-1", b"{}", "dropped:no_content")
        with pytest.raises(QueueUnavailable):
            await outbox.submit(gone, [event])
        await outbox.submit(other, [event])
        verdicts: list[BaseException | None] = []
        outbox.hand_in(gone, [event], verdicts.append)
        outbox.hand_in(other, [event], verdicts.append)
        await outbox.close()
        assert {type(verdict) for verdict in verdicts} == {QueueUnavailable, type(None)}

    async def test_profiles_of_the_others_are_found(self, client: Redis, away: tuple[str, str]) -> None:
        lookup = ProfileLookup(client)
        answers = await asyncio.gather(*(lookup.people(name, ["x"]) for name in away), return_exceptions=True)
        assert [type(answer) for answer in answers] == [QueueUnavailable, dict]

    async def test_pressure_is_measured_on_the_others(self, client: Redis, away: tuple[str, str]) -> None:
        _, other = away
        lanes = [Lane(name, "custom-event") for name in away]
        await client.xadd(lanes[1].keys.streams[0], {"d": b"x"})
        gauge = PressureGauge(client, lambda: lanes)
        await gauge.look()
        assert {name: size.deliveries for name, size in gauge.now().backlog.items()} == {other: 1}

    async def test_work_is_done_for_the_others_and_fails_only_where_all_are_away(
        self, client: Redis, away: tuple[str, str]
    ) -> None:
        gone, other = away

        async def write(destinations: Sequence[str]) -> list[str]:
            await client.set(f"{{{destinations[0]}}}:probe", 1)
            return list(destinations)

        assert await each_shard(client, away, write) == [[other]]
        with pytest.raises(RedisError):
            await each_shard(client, [gone], write)

    async def test_lag_of_the_others_is_stored_and_the_rest_kept(self, client: Redis, away: tuple[str, str]) -> None:
        gone, other = away
        counts = LagCounts()
        for name in away:
            counts._new[name] = Counter({"high:in_time": 2})
        await counts.flush(client, now_s=0.0)
        assert await client.hget(f"{{{other}}}:lag", "high:in_time") == b"2"  # type: ignore[misc]
        assert counts._new == {gone: Counter({"high:in_time": 2})}


class TestAnOutboxOfACluster:
    async def test_does_not_wait_for_a_node_that_hangs(self, cluster: LocalCluster, client: Redis) -> None:
        outbox = ShardedOutbox(lambda name: Outbox(client, wake=lambda *_: None, journal_entries=10, destination=name))
        hangs = cluster.owner("{shop-0}")
        other = next(tag for tag in TAGS if cluster.owner(f"{{{tag}}}") != hangs)
        events = [OutboxEvent(b"key-%d" % number, f"m-{number}", b"{}", "dropped:no_content") for number in range(30)]
        verdicts: list[BaseException | None] = []
        with cluster.paused(hangs):
            for _ in range(2):
                outbox.hand_in("shop-0", events, verdicts.append)
            assert outbox.at_capacity
            await until(lambda: not outbox.at_capacity, "the outbox takes other events")
            await outbox.submit(other, events)
        await outbox.close()
        assert len(verdicts) == 2

    async def test_keeps_no_connection_that_others_need(self, cluster: LocalCluster, client: Redis) -> None:
        few = open_redis(cluster.url, connections=2)
        outbox = ShardedOutbox(lambda name: Outbox(few, wake=lambda *_: None, journal_entries=10, destination=name))
        names = max(await by_shard(few, TAGS), key=len)
        assert len(names) > 2
        for name in names:
            await outbox.submit(name, [OutboxEvent(b"k-1", "m-1", b"{}", "dropped:no_content")])
            assert await few.hget(f"{{{name}}}:counters", "received") == b"1"  # type: ignore[misc]
        await outbox.close()
        await client.flushall()
        await few.aclose(close_connection_pool=True)

    async def test_follows_a_destination_to_another_node(self, cluster: LocalCluster, client: Redis) -> None:
        outbox = ShardedOutbox(lambda name: Outbox(client, wake=lambda *_: None, journal_entries=10, destination=name))
        for number in range(3):
            await outbox.submit("roaming", [OutboxEvent(b"k-%d" % number, f"m-{number}", b"{}", "dropped:no_content")])
            cluster.move_slot("{roaming}", elsewhere(cluster, "{roaming}"))
        await outbox.close()
        assert await client.hget("{roaming}:counters", "received") == b"3"  # type: ignore[misc]
