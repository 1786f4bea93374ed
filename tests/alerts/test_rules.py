"""Each rule fires by what is really in Redis, and ends when that is over."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
import yaml
from redis.asyncio import Redis

from app.alerts.evaluation import evaluate
from app.alerts.messages import Sender, digest_of, message_of
from app.alerts.observe import OBSERVERS, Watched, observe
from app.alerts.plan import AlertPlan
from app.alerts.prometheus import rules_file, selected
from app.alerts.register import Register, Side
from app.alerts.reports import ProcessReport, RequestReport, read_processes
from app.alerts.rules import RULES, AlertId, Evaluator, span
from app.alerts.state import Kind, Level, Notice
from app.attentive.endpoints import ENDPOINTS
from app.counted import DeadLettered, Evicted, JournalTrim, Merge, MissedJourney
from app.delivery.delivery import to_ms
from app.delivery.hold import NO_ANSWER, end_hold, hold_refused
from app.delivery.lag import LagCounts
from app.delivery.lane import Lane
from app.delivery.objectives import DEFAULT_OBJECTIVES
from app.delivery.pace import FAILURES_TO_STOP
from app.delivery.retention import Retention
from app.delivery.row_outcomes import SyncProblem, note_problem
from app.delivery.waits import NO_WAITS
from app.erasure.requests import Request, ask
from app.erasure.subject import Subject
from app.operations.audit import AuditLog
from app.store.keys import ConsoleKeys, DestinationKeys
from tests.builders import delivery

KEYS: Final = DestinationKeys("acme")
LANES: Final = [Lane("acme", endpoint.name) for endpoint in ENDPOINTS]
PURCHASE: Final = Lane("acme", "purchase")
WATCHED: Final = Watched(LANES, ["shop"], Retention(timedelta(days=10), entries=10), {"acme": DEFAULT_OBJECTIVES})
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
BALLAST: Final = 20_000_000  # bytes, beside which what the server itself needs is little


class World:
    """Redis, and a clock that is moved by hand. It begins at the real time, which Redis' streams go by."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self.now = to_ms(datetime.now(UTC))
        self.register = Register(redis, Side.WORKERS)

    async def count(self, field: str, number: int) -> None:
        await self.redis.hincrby(KEYS.counters, field, number)

    async def report(self, totals: Mapping[tuple[str, ...], int], at: int | None = None) -> None:
        await RequestReport(self.redis, lambda: totals).send(self.now if at is None else at)

    async def dead_letters(self, number: int, source: str = "s") -> None:
        for _ in range(number):
            await self.redis.xadd(KEYS.dead, {b"s": source, b"d": b"{}"})
        await self.redis.hset(KEYS.dead_kept, mapping={f"letters:{source}": number, f"bytes:{source}": 66 * number})

    async def call(self, lane: Lane, age: timedelta) -> None:
        stored = delivery(received_at=datetime.now(UTC) - age, deadline=datetime.now(UTC) + timedelta(days=1)).packed()
        await self.redis.xadd(lane.keys.streams[0], {b"d": stored})

    async def look(self, after_ms: int = 0) -> dict[AlertId, str]:
        """The states of all alerts that are not ok, `after_ms` later."""
        self.now += after_ms
        await self.redis.delete("{.alerts}:leader:workers")  # leases end by the clock of Redis, which stands
        assert await self.register.lead()
        found = await observe(self.redis, WATCHED, self.now)
        await evaluate(self.register, AlertPlan(RULES), found.values, self.now, found.unknown)
        return {alert: stored.state.name for alert, stored in (await self.register.states()).items()}


Act = Callable[[World], Awaitable[Any]]


async def _nothing(_: World) -> None:
    """What was counted is over by itself."""


async def _call(world: World) -> None:
    await world.call(Lane("acme", "identity"), timedelta(minutes=16))


async def _sent(world: World) -> None:
    await world.redis.delete(Lane("acme", "identity").keys.streams[0])


async def _stop(world: World) -> None:
    await world.redis.hset(PURCHASE.keys.pace, "failures", FAILURES_TO_STOP)
    await world.redis.set(PURCHASE.keys.hold, NO_ANSWER)


async def _answered(world: World) -> None:
    await world.redis.delete(PURCHASE.keys.pace, PURCHASE.keys.hold)


async def _dead(world: World) -> None:
    await world.count("received", 100)
    await world.count("delivered", 70)
    await world.count(DeadLettered("http_400").field, 30)


async def _review(world: World) -> None:
    await world.redis.xadd(KEYS.review, {b"s": "s", b"d": b"{}"})


async def _other_app(world: World) -> None:
    await world.redis.hset(KEYS.account, mapping={"app": "first", "found_app": "second"})


async def _attributes(world: World) -> None:
    await world.redis.hset(KEYS.attributes, mapping={f"a{number}": "string" for number in range(95)})


async def _event_keys(world: World) -> None:
    await world.redis.hset(KEYS.event_keys, mapping={"Quiz": 170})


async def _erasure(world: World) -> None:
    await ask(world.redis, "acme", Request.new(Subject(emails=frozenset({"ada@example.com"})), reference="T-1"))
    world.now += 2 * HOUR


async def _old_erasure(world: World) -> None:
    asked = world.now - 31 * 24 * HOUR
    await world.redis.hset(KEYS.erasure("e1"), mapping={"state": "following", "asked": asked, "who": "{}"})
    await world.redis.zadd(KEYS.erasures_due, {"e1": world.now + HOUR})


async def _sources(world: World, last_week: int, before: int, last_hour: int) -> None:
    for hours, number in ((1 + 7 * 24, last_week), (1 + 14 * 24, before), (1, last_hour)):
        await world.report({("accepted", "shop"): number}, at=world.now - hours * HOUR)


async def _silence(world: World) -> None:
    await world.report({("accepted", "shop"): 80}, at=world.now - 7 * 24 * HOUR)
    await world.report({("accepted", "shop"): 1}, at=world.now - 31 * MINUTE)


async def _sends_again(world: World) -> None:
    await world.report({("accepted", "shop"): 1})


async def _purchase_of_yesterday(world: World) -> None:
    await world.redis.xadd(PURCHASE.keys.streams[0], {b"d": b"x"}, id=f"{world.now - 25 * HOUR}-0")
    await world.redis.xtrim(PURCHASE.keys.streams[0], maxlen=0)


async def _purchase(world: World) -> None:
    await world.redis.xadd(PURCHASE.keys.streams[0], {b"d": b"x"}, id=f"{world.now}-0")
    await world.redis.xtrim(PURCHASE.keys.streams[0], maxlen=0)


async def _bad_config(world: World, usable: bool = False, removed: tuple[str, ...] = ()) -> None:
    await ProcessReport(world.redis, "worker", lambda: (usable, removed)).send(world.now)


async def _late_calls(world: World) -> None:
    counts, received = LagCounts(), world.now - 60 * MINUTE
    for late in range(100):
        call = delivery(received_ms=received, priority=0)
        counts.of("acme", DEFAULT_OBJECTIVES).note(call, received + (60_000 if late < 20 else 10), NO_WAITS)
    await counts.flush(world.redis, now_s=world.now / 1000)


async def _removed_destination(world: World) -> None:
    await world.call(Lane("gone", "purchase"), timedelta())
    await _bad_config(world, usable=True, removed=("gone",))


async def _failed_sign_ins(world: World) -> None:
    for _ in range(11):
        await AuditLog(world.redis).add("(unknown)", "sign-in failed", way="password")


async def _full_redis(world: World) -> None:
    await world.redis.setrange("ballast", BALLAST, "x")
    used = (await world.redis.info("memory"))["used_memory"]
    await world.redis.config_set("maxmemory", int(used / 0.85))


async def _room(world: World) -> None:
    await world.redis.config_set("maxmemory", 0)
    await world.redis.delete("ballast")


async def _volatile(world: World) -> None:
    await world.redis.config_set("appendonly", "no")


async def _durable(world: World) -> None:
    await world.redis.config_set("appendonly", "yes")


# rule, subject, what makes it so, what ends it (else time does), how it is called then
CASES: Final[list[tuple[str, tuple[str, ...], Act, Act, str]]] = [
    ("backlog_old", ("acme", "identity"), _call, _sent, "warning"),
    ("held", ("acme", ""), lambda w: hold_refused(w.redis, "acme"), lambda w: end_hold(w.redis, "acme"), "critical"),
    (
        *("held", ("acme", "purchase")),
        *(lambda w: w.redis.set(PURCHASE.keys.hold, "HTTP 403"), lambda w: w.redis.delete(PURCHASE.keys.hold)),
        "critical",
    ),
    ("attentive_away", ("acme", "purchase"), _stop, _answered, "warning"),
    ("journeys_missed", ("acme",), lambda w: w.count(MissedJourney("waited").field, 3), _nothing, "warning"),
    ("dead_letters_grow", ("acme",), lambda w: w.dead_letters(1), lambda w: w.redis.delete(KEYS.dead), "warning"),
    ("dead_letters_share", ("acme",), _dead, _nothing, "critical"),
    (
        *("dead_letters_nearly_full", ("acme", "dead"), lambda w: w.dead_letters(9)),
        *(lambda w: w.redis.delete(KEYS.dead, KEYS.dead_kept), "warning"),
    ),
    (
        *("dead_letters_deleted", ("acme", "dead", "shop", "share")),
        *(lambda w: w.count(Evicted("dead", "share", "shop").field, 2), _nothing, "critical"),
    ),
    (
        *("journal_trimmed", ("acme", "page")),
        *(lambda w: w.count(JournalTrim("page").field, 2), _nothing, "warning"),
    ),
    ("unknown_outcomes", ("acme",), _review, lambda w: w.redis.delete(KEYS.review), "warning"),
    (
        *("server_errors", (), lambda w: w.report({("answered", "all"): 100, ("answered", "5xx"): 5})),
        *(_nothing, "critical"),
    ),
    (
        *("puts_trackers_off", ("shop", "rate_limited")),
        *(lambda w: w.report({("limit", "rate_limited", "shop"): 2}), _nothing, "warning"),
    ),
    (
        *("limit_reached", ("shop", "event_too_large")),
        *(lambda w: w.report({("limit", "event_too_large", "shop"): 2}), _nothing, "warning"),
    ),
    ("refusals", ("unknown_source",), lambda w: w.report({("refused", "unknown_source"): 101}), _nothing, "warning"),
    ("source_silent", ("shop",), _silence, _sends_again, "warning"),
    ("source_drop", ("shop",), lambda w: _sources(w, 200, 300, 30), _nothing, "warning"),
    ("no_purchases", ("acme",), _purchase_of_yesterday, _purchase, "warning"),
    ("suspicious_ids", ("acme", "shop"), lambda w: w.count(Merge("shared", "shop").field, 11), _nothing, "warning"),
    ("attributes_many", ("acme",), _attributes, lambda w: w.redis.delete(KEYS.attributes), "warning"),
    ("event_keys_many", ("acme",), _event_keys, lambda w: w.redis.delete(KEYS.event_keys), "warning"),
    ("app_changed", ("acme",), _other_app, lambda w: w.redis.hdel(KEYS.account, "found_app"), "critical"),
    ("erasure_delayed", ("acme",), _erasure, lambda w: w.redis.delete(KEYS.erasures), "warning"),
    ("erasure_overdue", ("acme",), _old_erasure, lambda w: w.redis.delete(KEYS.erasures_due), "warning"),
    (
        *("sync_failed", ("acme", "loyalty"), lambda w: note_problem(w.redis, "acme", "loyalty", SyncProblem.FAILED)),
        *(lambda w: note_problem(w.redis, "acme", "loyalty", None), "warning"),
    ),
    (
        *("sync_stopped", ("acme", "loyalty"), lambda w: note_problem(w.redis, "acme", "loyalty", SyncProblem.STOPPED)),
        *(lambda w: note_problem(w.redis, "acme", "loyalty", None), "warning"),
    ),
    ("lag_burns_fast", ("acme", "high"), _late_calls, _nothing, "critical"),
    ("lag_burns_slowly", ("acme", "high"), _late_calls, _nothing, "warning"),
    ("redis_memory", (), _full_redis, _room, "warning"),
    ("redis_not_durable", (), _volatile, _durable, "warning"),
    ("config_bad", ("HOST",), _bad_config, lambda w: _bad_config(w, usable=True), "critical"),
    ("destination_removed", ("gone",), _removed_destination, lambda w: w.redis.flushdb(), "warning"),
    ("sign_in_failures", (), _failed_sign_ins, _nothing, "warning"),
]


@pytest.mark.parametrize(
    ("rule", "labels", "begin", "end", "level"), [pytest.param(*case, id=f"{case[0]} {case[1]}") for case in CASES]
)
async def test_a_rule_fires_and_ends(
    redis: Redis, rule: str, labels: tuple[str, ...], begin: Act, end: Act, level: str
) -> None:
    world = World(redis)
    await redis.config_set("appendonly", "yes")
    assert await world.look() == {}, "nothing is wrong yet"
    await begin(world)
    wait = int(RULES[rule].thresholds.for_s * 1000)
    states = await world.look()
    if labels == ("HOST",):
        (process,) = await read_processes(redis, world.now)
        labels = (process.name,)
    alert = AlertId(rule, labels)
    if wait:
        assert states[alert] == "pending"
        if rule in ("limit_reached", "puts_trackers_off", "server_errors"):  # it goes on
            world.now += 3 * MINUTE
            await begin(world)
            states = await world.look(wait - 3 * MINUTE)
        elif rule == "destination_removed":
            world.now += wait
            await _bad_config(world, usable=True, removed=("gone",))
            states = await world.look()
        else:
            states = await world.look(wait)
    assert states.pop(alert) == level
    assert {other.rule for other in states} <= _TOGETHER.get(rule, set())
    await end(world)
    later = HOUR if end is _nothing else 1000
    await world.look(later)
    assert alert not in await world.look(11_000)


# What fires with it, because it is about the same.
_TOGETHER: Final[dict[str, set[str]]] = {
    "dead_letters_nearly_full": {"dead_letters_grow"},
    "erasure_overdue": {"erasure_delayed"},
    "lag_burns_fast": {"lag_burns_slowly"},
    "lag_burns_slowly": {"lag_burns_fast"},
}


def test_each_rule_of_workers_has_a_case() -> None:
    tested = {case[0] for case in CASES}
    assert tested == {name for name, rule in RULES.items() if rule.evaluator is Evaluator.WORKERS}


def test_each_rule_of_workers_has_an_observer() -> None:
    observed = [rule for rules, _ in OBSERVERS for rule in rules]
    assert sorted(observed) == sorted(name for name, rule in RULES.items() if rule.evaluator is Evaluator.WORKERS)


async def test_what_one_observer_cannot_read_ends_no_alert_and_stops_no_other(
    redis: Redis, logged: list[MutableMapping[str, Any]]
) -> None:
    world = World(redis)
    await _failed_sign_ins(world)
    assert await world.look() == {AlertId("sign_in_failures"): "warning"}
    await redis.xadd(ConsoleKeys.audit, {b"d": b"of another release"})
    await hold_refused(redis, "acme")
    await world.look(5_000)
    states = await world.look(11_000)
    assert states == {AlertId("sign_in_failures"): "warning", AlertId("held", ("acme", "")): "critical"}
    assert [line["rules"] for line in logged if line["event"] == "alerts.observer_crashed"] == [
        ["sign_in_failures"]
    ] * 2


async def test_a_lane_that_is_stopped_for_a_moment_is_not_held(redis: Redis) -> None:
    world = World(redis)
    await _stop(world)
    assert {alert.rule for alert in await world.look()} == {"attentive_away"}


async def test_no_message_has_what_a_person_or_a_tracker_wrote(redis: Redis) -> None:
    world, person = World(redis), "ada.lovelace@shop.example"
    await world.look()
    await world.redis.set(PURCHASE.keys.hold, f"HTTP 403: {person}")
    await world.redis.hset(KEYS.event_keys, mapping={f"Quiz of {person}": 170})
    await world.redis.hset(KEYS.attributes, mapping={f"{person}{number}": "string" for number in range(95)})
    await world.redis.hset(KEYS.account, mapping={"app": f"app of {person}", "found_app": person})
    await world.redis.zadd(KEYS.suspicious, {person: 11})
    await world.redis.xadd(KEYS.dead, {b"s": "shop", b"d": delivery(message_id=person, event=person.encode()).packed()})
    await world.redis.xadd(KEYS.review, {b"s": "shop", b"d": delivery(message_id=person).packed()})
    await world.call(Lane("acme", "identity"), timedelta(minutes=16))
    await ask(world.redis, "acme", Request.new(Subject(emails=frozenset({person})), reference=person))
    for _ in range(11):
        await AuditLog(world.redis).add(person, "sign-in failed", way=person)
    open_now = await world.look() | await world.look(2 * HOUR)
    told = [
        message_of(alert, 1.0, Notice("team", kind, level, flapping=True), world.now, Sender("acme production"))
        for alert in open_now
        for kind in Kind
        for level in (Level.WARNING, Level.CRITICAL)
    ]
    texts = [message.to_json().decode() for message in (*told, digest_of(told))]
    assert {"held", "event_keys_many", "attributes_many", "app_changed", "dead_letters_grow", "unknown_outcomes"} < {
        alert.rule for alert in open_now
    }
    assert [text for text in texts if "ada" in text or "lovelace" in text or "@" in text] == []


async def test_a_source_that_is_new_or_small_is_never_silent(redis: Redis) -> None:
    world = World(redis)
    await world.report({("accepted", "shop"): 59}, at=world.now - 7 * 24 * HOUR)
    await world.report({("accepted", "other"): 1000}, at=world.now - 5 * HOUR)
    assert await world.look() == {}


async def test_a_drop_needs_two_weeks_of_history(redis: Redis) -> None:
    world = World(redis)
    await _sources(world, 200, 0, 10)
    assert await world.look() == {}


async def test_what_was_counted_before_the_first_look_is_no_news(redis: Redis) -> None:
    world = World(redis)
    await _dead(world)
    assert await world.look() == {}
    await world.count(DeadLettered("http_400").field, 20)
    assert {alert.rule for alert in await world.look(5_000)} == {"dead_letters_share"}


async def test_reports_of_many_gateways_add_up_and_are_sent_once(redis: Redis) -> None:
    world = World(redis)
    totals: dict[tuple[str, ...], int] = {("refused", "unknown_source"): 60}
    for report in (RequestReport(redis, lambda: totals), RequestReport(redis, lambda: totals)):
        for _ in range(3):
            await report.send(world.now)
    assert AlertId("refusals", ("unknown_source",)) in await world.look()


async def test_processes_of_one_host_are_one_subject(redis: Redis) -> None:
    world = World(redis)
    for component, usable in (("gateway", True), ("worker", False)):
        await ProcessReport(redis, component, lambda usable=usable: (usable, [])).send(world.now)  # type: ignore[misc]
    (process,) = await read_processes(redis, world.now)
    assert not process.usable
    assert await read_processes(redis, world.now + MINUTE) == [], "those that have ended are forgotten"


def test_every_rule_for_prometheus_has_its_severities() -> None:
    (group,) = rules_file(RULES.values())["groups"]
    found = {(rule["alert"], rule["labels"]["severity"]) for rule in group["rules"]}
    assert ("AttentiveGatewayBacklogOld", "warning") in found
    assert ("AttentiveGatewayBacklogOld", "critical") in found
    assert ("AttentiveGatewayHeld", "warning") not in found
    assert "{of}" not in yaml.safe_dump(group)
    assert orjson.dumps(group)


def test_a_selector_stands_beside_other_matchers_and_alone() -> None:
    assert selected('a{{of},b="c"} / d{{of}}', 'e="f"') == 'a{e="f",b="c"} / d{e="f"}'
    assert selected('a{{of},b="c"} / d{{of}}', "") == 'a{b="c"} / d{}'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0, "0 s", id="none"),
        pytest.param(119, "119 s", id="less than two minutes"),
        pytest.param(1500, "25 min", id="minutes"),
        pytest.param(7200, "2 h", id="hours"),
        pytest.param(3 * 86_400, "3 d", id="days"),
    ],
)
def test_times_are_in_units_that_people_read(seconds: float, text: str) -> None:
    assert span(seconds) == text
