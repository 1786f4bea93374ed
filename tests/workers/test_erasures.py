"""Erasures: all data of the person is removed, none of others; steps can be repeated; a receipt names no one."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import ENDPOINTS, Endpoint
from app.config.destination import Destination
from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.delivery import Delivery, in_full
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.settlement import done
from app.delivery.unknown import WhenUnknown
from app.erasure.requests import ErasureRules, Request, State, ask, find, receipt
from app.erasure.subject import Subject
from app.ingest.arrivals import outbox_event_of
from app.metrics import DeliveryMetrics
from app.pipeline import Plan, decide, read
from app.profiles.lookup import find_people
from app.profiles.profile import ProfileUpdate, contact_digest, record_name
from app.profiles.updates import update_profiles
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from app.value import changed
from tests.builders import Raw, identify, track
from workers.context import Accounts, WorkerContext
from workers.erasures import CHECK_AFTER, CONFIRMED_WITHIN, GIVE_UP, work_off

ACME: Final = "acme"
ADA: Final = Subject.of(emails=["ada@example.com"], phones=["+14155550132"], user_ids=["customer-1042"])
TRACES: Final = (b"ada@example.com", b"4155550132", b"customer-1042")
BOTH: Final = ErasureRules(unsubscribe=True, request=True)
KEYS: Final = DestinationKeys(ACME)
DAY_S: Final = 86_400
LEASE: Final = timedelta(hours=1)  # of lanes: it ends when a test ends it


@dataclass
class FakeAttentive:
    """Accepts everything, unless a script says otherwise; a delete request is processed at the second look."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    answers: dict[str, list[Reply | Unreachable]] = field(default_factory=dict)  # by endpoint, or "look"
    looks: int = 0

    async def who_am_i(self) -> Reply:
        return Reply(200, body=b"{}")

    async def send(self, endpoint: Endpoint, body: bytes) -> Reply | Unreachable:
        self.calls.append((endpoint.name, orjson.loads(body)))
        if scripted := self.answers.get(endpoint.name):
            return scripted.pop(0)
        return Reply(200, body=b'{"id": "privacy-1"}') if endpoint.name == "privacy-delete" else Reply(202)

    async def delete_request(self, request_id: str) -> Reply | Unreachable:
        self.looks += 1
        self.calls.append(("look", request_id))
        if scripted := self.answers.get("look"):
            return scripted.pop(0)
        return Reply(200, body=orjson.dumps({"processed": self.looks > 1}))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, span: timedelta) -> None:
        self.now += span


@dataclass
class Place:
    """One destination's Redis, and a worker that is at its erasures."""

    redis: Redis
    attentive: FakeAttentive = field(default_factory=FakeAttentive)
    clock: Clock = field(default_factory=Clock)
    rules: ErasureRules = field(default_factory=ErasureRules)
    settings: dict[str, Any] = field(default_factory=dict)  # of the destination
    message_ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def context(self, redis: Redis | None = None) -> WorkerContext:
        lanes = [Lane(ACME, endpoint.name) for endpoint in ENDPOINTS]
        return WorkerContext(
            redis=cast(Any, redis or self.redis),
            accounts=Accounts(
                {ACME: Destination.model_validate({"api_token": "t", **self.settings})},
                paces={lane: Pace(1000.0) for lane in lanes},
                clients={ACME: cast(AttentiveClient, self.attentive)},
                policies=dict.fromkeys(lanes, WhenUnknown.SEND_AGAIN),
                erasures={ACME: self.rules},
                sources={ACME: ["shop", "web"]},
                trusted={ACME: ["shop"]},
            ),
            metrics=DeliveryMetrics(CollectorRegistry()),
            concurrency=8,
            journal_entries=1000,
            journal_life=timedelta(hours=1),
            journal_bytes=2**30,
            retention=Retention(timedelta(days=1), 1000),
        )

    async def take_in(self, *events: Raw, steps: Sequence[ProfileUpdate] = (), plan: Plan | None = None) -> None:
        """Events as the gateway takes them in."""
        outbox = Outbox(self.redis, wake=lambda *_: None, journal_entries=1000)
        await outbox.submit(ACME, [self.arrival(raw, steps, plan or Plan()) for raw in events])
        await outbox.close()

    def arrival(self, raw: Raw, steps: Sequence[ProfileUpdate], plan: Plan) -> OutboxEvent:
        now = datetime.now(UTC)
        raw = {**raw, "messageId": f"m-{next(self.message_ids)}", "timestamp": now.isoformat()}
        reading = read(raw, orjson.dumps(raw), plan)
        decision = decide(reading, plan, source="shop", received_at=now)
        arrival = outbox_event_of(reading.event, decision, original=reading.original, source="shop", received_at=now)
        return changed(arrival, updates=tuple(steps))

    async def ask(self, subject: Subject = ADA, **options: Any) -> str:
        request = Request.new(subject, reference=options.get("reference", ""))
        await ask(self.redis, ACME, request)
        return request.id

    async def work(self, redis: Redis | None = None) -> None:
        """One run of the cron."""
        await work_off({"context": self.context(redis)}, clock=self.clock)

    async def work_until(self, erasure_id: str, *states: State, step: timedelta = CHECK_AFTER) -> dict[str, Any]:
        """The receipt, once the erasure is in one of these states. Time passes between the runs."""
        for _ in range(60):
            await self.work()
            found = await find(self.redis, ACME, erasure_id)
            if found is not None and found.state in states:
                return receipt(ACME, found)
            self.clock.pass_by(step)
        raise AssertionError(f"it stays {found and found.state}: {found and found.facts}")

    async def bytes_held(self) -> bytes:
        """All keys with all that is under them, nothing packed."""
        held = []
        for key in sorted(await self.redis.keys()):
            held += [key, repr(await self.content(key)).encode()]
        return b"\n".join(held)

    async def content(self, key: bytes) -> Any:
        redis: Any = self.redis
        match await redis.type(key):
            case b"string":
                return await redis.get(key)
            case b"hash":
                return await redis.hgetall(key)
            case b"set":
                return await redis.smembers(key)
            case b"zset":
                return [in_full(member) for member in await redis.zrange(key, 0, -1)]
            case b"list":
                return await redis.lrange(key, 0, -1)
            case b"stream":
                return [[*map(in_full, fields.values())] for _, fields in await redis.xrange(key)]
            case kind:
                raise AssertionError(f"{key!r} is a {kind!r}")

    async def balance(self) -> tuple[int, dict[str, int]]:
        """Events that wait according to the counters, and how many were dropped by reason."""
        (counters,) = await read_counters(self.redis, [ACME])
        return counters.waiting, dict(counters.dropped)

    async def length(self, key: str) -> int:
        return int(await cast(Any, self.redis).xlen(key))

    def lane(self, endpoint: str) -> LaneConsumer:
        return LaneConsumer(self.redis, Lane(ACME, endpoint), Pace(1000.0), journal_entries=1000, lease=LEASE)


@pytest.fixture
def place(redis: Redis) -> Place:
    return Place(redis)


def of_ada(raw: Raw) -> Raw:
    return {**raw, "context": {"traits": {"email": "Ada@Example.com", "phone": "(415) 555-0132"}}}


def of_bea(raw: Raw) -> Raw:
    return {**raw, "userId": "customer-1043", "context": {"traits": {"email": "bea@example.com"}}}


LEARNT: Final = ProfileUpdate(
    "upsert",
    (record_name("shop", "u", "customer-1042"),),
    30 * DAY_S,
    facts={"email": "ada@example.com", "phone": "+14155550132"},
    at_ms=1,
)
BAD_PRICE: Final = track("Product Viewed", {"sku": "a", "price": "free"})


async def fill(place: Place) -> None:
    """Something of Ada and of Bea in every place: two lanes, a retry, a dead letter, memory, journal, what was said."""
    tells = {"first_name": "A"}
    await place.take_in(of_ada(track("Coupon Entered")), of_ada(BAD_PRICE), of_bea(track("Coupon Entered")))
    await place.take_in(of_bea(BAD_PRICE), identify({"email": "bea@example.com", **tells}, userId="customer-1043"))
    event = identify({"email": "ada@example.com", **tells}, userId="customer-1042")
    await place.take_in(event, steps=[LEARNT])
    await place.redis.xadd(KEYS.review, {"d": (await place.redis.xrange(KEYS.dead))[0][1][b"d"]})
    stream = Lane(ACME, "custom-event").keys.streams[1]
    await place.take_in(of_ada(track("Waits Again")))
    entry_id, fields = (await place.redis.xrange(stream))[-1]
    await place.redis.zadd(Lane(ACME, "custom-event").keys.retry, {b"1" + fields[b"d"]: 1e15})
    await place.redis.xdel(stream, entry_id)


async def test_nothing_of_the_person_is_left_and_all_of_others(place: Place) -> None:
    await fill(place)
    held = await place.bytes_held()
    assert [trace for trace in TRACES if trace not in held] == []
    before = await place.balance()
    erasure = await place.ask(reference="ticket 7")
    ended = await place.work_until(erasure, State.DONE)
    held = await place.bytes_held()
    assert [trace for trace in TRACES if trace in held.lower()] == []
    assert held.count(b"bea@example.com") >= 3
    assert ended["removed"] == {
        "profiles": 1,
        "lanes": 3,
        "retries": 1,
        "dead_letters": 1,
        "unknown": 1,
        "journal": 4,
        "calls": 0,
        "last_sent": 2,
    }
    assert (before[0], (await place.balance())) == (5, (2, {"erased": 3}))
    assert await place.length(KEYS.dead) == 1
    assert (ended["reference"], ended["unsubscribed"], ended["delete_request"]) == ("ticket 7", "off", "off")


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(Subject.of(user_ids=["customer-1042"]), id="from the user id to all"),
        pytest.param(Subject.of(emails=["ada@example.com"]), id="from the address to the number"),
    ],
)
async def test_memory_leads_to_the_rest(place: Place, subject: Subject) -> None:
    await fill(place)
    await place.take_in({**track("x"), "context": {"traits": {"phone": "415-555-0132"}}})
    await place.work_until(await place.ask(subject), State.DONE)
    held = await place.bytes_held()
    assert [trace for trace in TRACES if trace in held.lower()] == []


async def test_a_claim_of_a_public_source_leads_to_nobody_else(place: Place) -> None:
    """An attacker ties a victim's contacts to their own ID, and has that ID erased."""
    place.rules = BOTH
    eves = ProfileUpdate(
        "upsert",
        (record_name("web", "u", "eve-4711", "eve's browser"),),
        30 * DAY_S,
        facts={"email": "ada@example.com", "phone": "+14155550132"},
        claim=True,
        user=contact_digest("user", "eve-4711"),
    )
    await update_profiles(place.redis, ACME, [eves])
    ended = await place.work_until(await place.ask(Subject.of(user_ids=["eve-4711"])), State.DONE)
    assert ended["left_alone"] == {"emails": 1, "phones": 1}
    assert (await find_people(place.redis, {ACME: eves.names}))[ACME] == {}
    assert [body for name, body in place.attentive.calls if name == "unsubscribe"] == []
    assert {name for _, body in place.attentive.calls if isinstance(body, dict) for name in body} == {
        "clientUserId",
        "requestMsg",
    }


async def test_a_shared_number_leads_to_nobody_elses_address(place: Place) -> None:
    """Or one of a family would take the others' subscriptions along."""
    place.rules = BOTH
    await place.take_in(track("x"), steps=[LEARNT])
    await place.work_until(await place.ask(Subject.of(phones=["+14155550132"])), State.FOLLOWING)
    assert [body["user"] for name, body in place.attentive.calls if name == "unsubscribe"] == [
        {"phone": "+14155550132"}
    ]


@pytest.mark.parametrize(
    ("people", "told"),
    [
        pytest.param(["ada@example.com"], False, id="some of theirs"),
        pytest.param(["ada@example.com", "+14155550132"], True, id="all of theirs"),
    ],
)
async def test_attentive_is_asked_only_about_people_whom_the_destination_delivers_to(
    place: Place, people: list[str], told: bool
) -> None:
    """By all their addresses and numbers: a stranger could be behind another one."""
    place.rules, place.settings = BOTH, {"deliver": "test_people", "test_people": people}
    await place.take_in(of_ada(track("Coupon Entered")))
    ended = await place.work_until(await place.ask(), State.DONE if told else State.INCOMPLETE)
    assert bool(place.attentive.calls) is told
    assert ended["delete_request"].startswith("processed" if told else "not delivered")


async def test_one_broken_erasure_does_not_stand_in_the_way(place: Place) -> None:
    place.rules, place.attentive.answers = BOTH, {"unsubscribe": [cast(Reply, None)]}
    first = await place.ask()
    assert "error in the gateway" in (await place.work_until(first, State.UNSUBSCRIBING))["waits_for"]
    await place.work_until(await place.ask(Subject.of(emails=["bea@example.com"])), State.DONE)
    place.clock.pass_by(timedelta(minutes=11))
    await place.work_until(first, State.DONE)


async def test_a_request_that_attentive_gives_no_id_to_cannot_be_followed(place: Place) -> None:
    place.rules, place.attentive.answers = BOTH, {"privacy-delete": [Reply(200)]}
    ended = await place.work_until(await place.ask(), State.INCOMPLETE)
    assert "no id" in ended["delete_request"]


async def test_what_comes_in_later_is_new(place: Place) -> None:
    await place.work_until(await place.ask(), State.DONE)
    await place.take_in(of_ada(track("Coupon Entered")))
    await place.work()
    assert await place.length(Lane(ACME, "custom-event").keys.streams[1]) == 1


async def test_after_it_the_same_is_said_once_more(place: Place) -> None:
    """Or Attentive, which has forgotten the person, would never hear of them again."""
    event = identify({"email": "ada@example.com"}, userId="customer-1042")
    await place.take_in(event)
    await place.work_until(await place.ask(), State.DONE)
    assert [key async for key in place.redis.scan_iter(KEYS.last_sent("*"))] == []
    await place.take_in(event)
    assert await place.length(Lane(ACME, "identity").keys.streams[1]) == 1


class TestCallsUnderWay:
    async def test_are_waited_for(self, place: Place) -> None:
        await place.take_in(of_ada(track("Coupon Entered")))
        drain = place.lane("custom-event")
        assert await drain.acquire()
        assert len((await drain.claim(8, under_way=0)).entries) == 1
        erasure = await place.ask()
        waits = await place.work_until(erasure, State.FORGETTING)
        assert (waits["calls_under_way"], waits["removed"]["lanes"]) == (1, 0)
        assert await place.balance() == (1, {})

    async def test_of_a_dead_worker_are_taken_out(self, place: Place) -> None:
        await place.take_in(of_ada(track("Coupon Entered")))
        drain = place.lane("custom-event")
        await drain.acquire()
        await drain.claim(8, under_way=0)
        await place.redis.delete(Lane(ACME, "custom-event").keys.lease)
        ended = await place.work_until(await place.ask(), State.DONE)
        assert ended["removed"]["lanes"] == 1
        assert await place.balance() == (0, {"erased": 1})
        assert await place.lane("custom-event").reclaim() == []

    async def test_that_end_as_a_retry_are_found_there(self, place: Place) -> None:
        await place.take_in(of_ada(track("Coupon Entered")))
        drain = place.lane("custom-event")
        await drain.acquire()
        (entry,) = (await drain.claim(8, under_way=0)).entries
        erasure = await place.ask()
        await place.work_until(erasure, State.FORGETTING)
        keys = Lane(ACME, "custom-event").keys
        await place.redis.xack(keys.streams[1], "workers", entry.id)
        await place.redis.xdel(keys.streams[1], entry.id)
        await place.redis.zadd(keys.retry, {b"1" + entry.payload: 1e15})
        assert (await place.work_until(erasure, State.DONE))["removed"]["retries"] == 1


class TestTheCounters:
    @pytest.mark.parametrize("delivered_first", [True, False])
    async def test_balance_for_an_event_of_several_calls(self, place: Place, delivered_first: bool) -> None:
        """One of them is taken out, the other is delivered before or after that."""
        await place.take_in(identify({"email": "ada@example.com", "age": 7}, userId="customer-1042"))
        drain = place.lane("identity")
        await drain.acquire()
        (entry,) = (await drain.claim(8, under_way=0)).entries
        settle = _delivered(drain, entry)
        if delivered_first:
            await settle()
        erasure = await place.ask()
        await place.work()
        if not delivered_first:
            await settle()
        await place.work_until(erasure, State.DONE)
        assert await place.balance() == (0, {"erased": 1})
        assert await place.redis.exists(KEYS.parts) == 0

    async def test_balance_when_both_are_taken_out(self, place: Place) -> None:
        await place.take_in(identify({"email": "ada@example.com", "age": 7}, userId="customer-1042"))
        await place.work_until(await place.ask(), State.DONE)
        assert await place.balance() == (0, {"erased": 1})


def _delivered(drain: LaneConsumer, entry: Any) -> Callable[[], Any]:
    async def settle() -> None:
        await drain.settle([done(entry, Delivery.unpacked(entry.payload), b"{}")])

    return settle


class TestAttentive:
    async def test_is_asked_to_unsubscribe_before_it_is_asked_to_delete(self, place: Place) -> None:
        place.rules = BOTH
        erasure = await place.ask()
        follows = await place.work_until(erasure, State.FOLLOWING)
        assert (follows["unsubscribed"], follows["delete_requests"]) == ("done", ["privacy-1"])
        assert TRACES[0] not in await place.bytes_held(), "nothing names the person while Attentive takes its time"
        ended = await place.work_until(erasure, State.DONE)
        assert place.attentive.names == ["unsubscribe", "privacy-delete", "look", "look"]
        assert (ended["delete_request"], ended["delete_requests"]) == ("processed", ["privacy-1"])
        assert all(ended[moment] for moment in ("asked_at", "begun_at", "forgotten_at", "filed_at", "ended_at"))

    async def test_is_asked_again_after_a_failure(self, place: Place) -> None:
        place.rules = BOTH
        place.attentive.answers = {
            "unsubscribe": [Reply(503), Unreachable("cut", ambiguous=True)],
            "privacy-delete": [Reply(429)],
            "look": [Reply(500), Unreachable("away", ambiguous=False)],
        }
        ended = await place.work_until(await place.ask(), State.DONE, step=timedelta(minutes=2))
        assert place.attentive.names == ["unsubscribe"] * 3 + ["privacy-delete"] * 2 + ["look"] * 3
        assert ended["state"] == "done"

    @pytest.mark.parametrize(
        ("answers", "unsubscribed", "delete_request", "state"),
        [
            pytest.param({"unsubscribe": [Reply(400)]}, "refused: http_400", "processed", "incomplete", id="the one"),
            pytest.param({"privacy-delete": [Reply(400)]}, "done", "refused: http_400", "incomplete", id="the other"),
            pytest.param(
                {"privacy-delete": [Reply(404)]}, "done", "not known to Attentive", "done", id="they never knew them"
            ),
            pytest.param({"look": [Reply(404)]}, "done", "processed", "done", id="they know the request no more"),
        ],
    )
    async def test_may_refuse(
        self,
        place: Place,
        answers: dict[str, list[Reply | Unreachable]],
        unsubscribed: str,
        delete_request: str,
        state: str,
    ) -> None:
        place.rules, place.attentive.answers = BOTH, answers
        ended = await place.work_until(await place.ask(), State.DONE, State.INCOMPLETE)
        assert (ended["unsubscribed"], ended["delete_request"], ended["state"]) == (unsubscribed, delete_request, state)

    async def test_that_refuses_the_token_is_left_alone_until_the_hold_ends(self, place: Place) -> None:
        place.rules, place.attentive.answers = BOTH, {"unsubscribe": [Reply(401)]}
        erasure = await place.ask()
        waits = await place.work_until(erasure, State.UNSUBSCRIBING)
        assert "token" in waits["waits_for"]
        for _ in range(3):
            place.clock.pass_by(timedelta(seconds=2))
            await place.work()
        assert place.attentive.names == ["unsubscribe"]
        await place.redis.delete(KEYS.hold)
        await place.work_until(erasure, State.DONE)

    async def test_that_never_answers_is_given_up(self, place: Place) -> None:
        place.rules, place.attentive.answers = (
            BOTH,
            {"unsubscribe": [Reply(503)] * 99, "privacy-delete": [Reply(503)] * 99},
        )
        ended = await place.work_until(await place.ask(), State.INCOMPLETE, step=GIVE_UP / 4)
        assert (ended["unsubscribed"], ended["delete_request"]) == ("refused: expired", "refused: expired")
        assert TRACES[0] not in await place.bytes_held()

    async def test_that_never_says_it_has_deleted_is_said_so(self, place: Place) -> None:
        place.rules = BOTH
        place.attentive.answers = {"look": [Reply(200, body=b'{"processed": false}')] * 99}
        ended = await place.work_until(await place.ask(), State.INCOMPLETE, step=CONFIRMED_WITHIN / 9)
        assert ended["delete_request"] == "not confirmed within 45 days"

    async def test_is_not_asked_about_somebody_known_by_a_browser_alone(self, place: Place) -> None:
        place.rules = BOTH
        ended = await place.work_until(await place.ask(Subject.of(anonymous_ids=["b-1"])), State.DONE)
        assert place.attentive.calls == []
        assert (ended["unsubscribed"], ended["delete_request"]) == ("no e-mail or phone known", "nothing to ask by")

    async def test_is_told_nothing_by_a_repeat_that_it_texts_people_about(self, place: Place) -> None:
        place.rules = BOTH
        await place.work_until(await place.ask(), State.FOLLOWING)
        assert place.attentive.calls[0][1]["notification"] == {"disabled": True}


class Died(BaseException):
    """SIGKILL, as far as one process can tell."""


class Dying(Redis):
    """A connection whose process dies before, or after, its command number `last` that changes something."""

    last = 10**9
    after = False
    sent = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        changes = str(args[0]).upper() in ("EVALSHA", "EVAL", "HINCRBY", "SET", "DEL")
        if not changes:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        self.sent += 1
        if self.sent > self.last or (self.sent == self.last and not self.after):
            raise Died
        answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if self.sent == self.last:
            raise Died
        return answer


@pytest.mark.parametrize("after", [False, True], ids=["before Redis has it", "before its answer is known"])
async def test_a_worker_may_die_at_any_command(redis: Redis, url: str, after: bool) -> None:
    for last in itertools.count(1):
        await redis.flushall()
        survivor = open_redis(url)
        place = Place(survivor, rules=BOTH)
        await fill(place)
        erasure = await place.ask()
        dying = Dying(connection_pool=open_redis(url).connection_pool)
        dying.last, dying.after = last, after
        died = False
        try:
            for _ in range(12):
                await place.work(dying)
                place.clock.pass_by(CHECK_AFTER)
        except Died:
            died = True
        await dying.aclose(close_connection_pool=True)
        await place.redis.delete(KEYS.erasures_lock)  # it ends by itself
        await place.redis.delete(*(Lane(ACME, endpoint.name).keys.lease for endpoint in ENDPOINTS))
        ended = await place.work_until(erasure, State.DONE)
        held = await place.bytes_held()
        assert [trace for trace in TRACES if trace in held.lower()] == [], last
        assert await place.balance() == (2, {"erased": 3}), last
        names = place.attentive.names
        assert names.index("unsubscribe") < names.index("privacy-delete"), last
        assert "privacy-delete" not in names[: names.index("unsubscribe")], last
        assert "unsubscribe" not in names[names.index("privacy-delete") :], last
        assert max(names.count("unsubscribe"), names.count("privacy-delete")) <= 2, last
        assert ended["state"] == "done"
        await survivor.aclose(close_connection_pool=True)
        if not died:
            assert last > 15, "it died nowhere"
            break


async def test_two_workers_are_not_at_it_at_once(place: Place) -> None:
    await place.redis.set(KEYS.erasures_lock, "somebody")
    erasure = await place.ask()
    await place.work()
    found = await find(place.redis, ACME, erasure)
    assert found is not None
    assert found.number("begun") == 0


async def test_the_same_request_twice_is_one_erasure(place: Place) -> None:
    request = Request.new(ADA, reference="")
    for _ in range(2):
        await ask(place.redis, ACME, request)
    await place.work_until(request.id, State.DONE)
    await ask(place.redis, ACME, request)
    await place.work()
    assert await place.length(KEYS.erasures) == 0
    assert await place.redis.zcard(KEYS.receipts) == 1


async def test_many_share_one_way_through_everything(place: Place) -> None:
    people = [Subject.of(emails=[f"p{n}@example.com"]) for n in range(60)]
    for number in range(60):
        await place.take_in({**track("x"), "context": {"traits": {"email": f"p{number}@example.com"}}})
    ids = [await place.ask(each) for each in people]
    for each in ids:
        assert (await place.work_until(each, State.DONE))["removed"]["lanes"] == 1
    assert b"@example.com" not in await place.bytes_held()


async def test_a_receipt_names_nobody_and_goes_in_its_time(place: Place) -> None:
    place.rules = ErasureRules(keep=timedelta(days=30))
    erasure = await place.ask()
    ended = orjson.dumps(await place.work_until(erasure, State.DONE)).lower()
    assert [trace for trace in TRACES if trace in ended] == []
    assert 0 < await place.redis.ttl(KEYS.erasure(erasure)) <= 30 * DAY_S
    place.clock.pass_by(timedelta(days=31))
    await place.work_until(await place.ask(), State.DONE)
    assert [each.decode() for each in await place.redis.zrange(KEYS.receipts, 0, -1)] != [erasure]
    assert await place.redis.zcard(KEYS.receipts) == 1
