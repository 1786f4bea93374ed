"""How long each Lua script holds up Redis with its worst input: nothing else is served meanwhile.

Run it from the repository's root: `python -m benchmarks.scripts`, or `make bench-scripts`, which writes the table into
docs/operations.md. Times are those of Redis' slow log. Each input is given several times, and the quickest run counts:
a busy machine makes a script no slower.
"""

import argparse
import asyncio
import random
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from arq.connections import ArqRedis

from app.alerts.messages import Message
from app.alerts.register import Register, Side, Stored
from app.alerts.rules import AlertId
from app.alerts.state import AlertState, Kind, Level
from app.attentive.call import Priority
from app.config.topology import Topology
from app.counted import DropReason
from app.delivery.accounts.event_keys import EventKeys
from app.delivery.backlog import lanes_to_wake
from app.delivery.consumer import LaneConsumer
from app.delivery.dead_letter import DeadLetter, Filter
from app.delivery.dead_letters import dead_letters, discard, edit, replay
from app.delivery.delivery import Delivery, event_key, to_ms
from app.delivery.journal.call_record import blank_rows, note, remove_recorded, trim, watch
from app.delivery.journal.event_rows import EventFilter, RowOutcome
from app.delivery.journal.recording import Recording
from app.delivery.journal.row_index import row_head, rows_of
from app.delivery.lane import Lane
from app.delivery.outbox import EVENTS_PER_FLUSH, Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.pace import Pace
from app.delivery.removal import drop_waiting
from app.delivery.retention import Retention, evict
from app.delivery.row_outcomes import follow, lease_sync
from app.delivery.settlement import dead_lettered, retried
from app.erasure.removal import Stores, forget
from app.erasure.requests import Request, State, advance, ask, begin, due
from app.erasure.subject import Subject
from app.ingest.arrivals import outbox_event_of
from app.pipeline import decide, read
from app.profiles.known import users_with
from app.profiles.profile import ProfileUpdate, contact_digest, record_name
from app.profiles.updates import update_profiles
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from app.store.script import SCRIPTS
from app.value import changed
from app.wiring.gateway import all_senders
from benchmarks.failure import ends_with_a_line
from benchmarks.machine import machine
from benchmarks.process import store
from benchmarks.tables import markdown
from workers.drain import SETTLED_AT_ONCE

MOST_MS: Final = 50.0
REPEATS: Final = 3
BATCH: Final = 2_500  # events of the largest batch
CLAIMED: Final = 1_000  # calls of the largest claim
ACCOUNT: Final = "acme"
LANE: Final = Lane(ACCOUNT, "custom-event")
_LIFE_S: Final = 90 * 86_400
_DAY: Final = timedelta(days=1)
_PAGE: Final = re.compile(r"(<!-- scripts -->\n).*?(<!-- /scripts -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Worst:
    """The longest run of a script."""

    script: str
    title: str  # of the input
    ms: float


def text(number: int, size: int) -> bytes:
    """JSON of an event, of about this many bytes, which packing cannot make much smaller."""
    return (
        b'{"type":"track","event":"E","properties":{"note":"%b"}}'
        % random.Random(number).randbytes(size // 2).hex().encode()
    )


def call(number: int, *, size: int = 16_000, age: timedelta = timedelta(), fresh: bool = True) -> Delivery:
    """A waiting call, with an event that is as large as one may be."""
    now = datetime.now(UTC)
    body = text(number, size)
    return Delivery(
        message_id=f"m-{number}",
        source="page",
        endpoint=LANE.endpoint,
        priority=Priority.NORMAL,
        body=body,
        event=body,
        received_ms=to_ms(now - age),
        deadline_ms=to_ms(now + _DAY),
        fresh_until_ms=to_ms(now + (_DAY if fresh else -_DAY)),
    )


def letter(number: int, *, size: int = 32_000) -> DeadLetter:
    """An event that could not become a call, as large as one may be."""
    return DeadLetter(f"m-{number}", "page", "unmappable", "price: missing", text(number, size), datetime.now(UTC))


def outbox(redis: ArqRedis, retention: Retention) -> Outbox:
    """That of a gateway."""
    return Outbox(redis, wake=lambda *_: None, journal_entries=100_000, retention=retention)


async def queue(redis: ArqRedis, calls: Sequence[Delivery]) -> None:
    """As the gateway does it."""
    events = [
        OutboxEvent(each.event_key, each.message_id, b"{}", calls=calls_of([each]), source=each.source)
        for each in calls
    ]
    await outbox(redis, Retention()).submit(ACCOUNT, events)


async def bury(redis: ArqRedis, letters: Sequence[DeadLetter], retention: Retention | None = None) -> None:
    """As the gateway does it with events that cannot become calls."""
    events = [
        OutboxEvent(
            event_key(each.source, each.message_id), each.message_id, b"{}", "dead:unmappable",
            dead_letter=each.packed(), source=each.source,
        )
        for each in letters
    ]  # fmt: skip
    place = outbox(redis, retention or Retention())
    for start in range(0, len(events), EVENTS_PER_FLUSH):
        await place.submit(ACCOUNT, events[start : start + EVENTS_PER_FLUSH])


# Each scenario makes its own state, and runs scripts; all runs count. `part` of the usual number of elements is made.


async def largest_batch(redis: ArqRedis, part: float = 1) -> None:
    """Identify calls of a trusted source: links, attributes, an opt-in and a profile each, half of them shared."""
    topology = Topology.model_validate(
        {
            "destinations": {ACCOUNT: {"api_token": "t", "merges": "block"}},
            "sources": {
                "shop": {"write_key": "k", "destination": ACCOUNT, "trust": "server"},
                "page": {"write_key": "p", "destination": ACCOUNT},
            },
        }
    )
    for key, source in (("k", "shop"), ("p", "page")):
        plan = all_senders(topology)[key].plan
        events = []
        for number in range(int(BATCH * part)):
            facts = {"email": f"p{number % 50}@example.com", "phone": f"+1415555{number % 9000:04}"}
            raw: dict[str, Any] = {
                "type": "identify",
                "messageId": f"{source}-{number}",
                "userId": f"user-{number % (BATCH // 2)}",
                "anonymousId": f"browser-{number}",
                "traits": {**facts, "tier": "gold"},
            }
            reading = read(raw, b"{}", plan)
            now = datetime.now(UTC)
            decision = decide(reading, plan, source=source, received_at=now)
            arrival = outbox_event_of(reading.event, decision, original=b"{}", source=source, received_at=now)
            names = (record_name(source, "u", f"user-{number % (BATCH // 2)}"),)
            update = ProfileUpdate("upsert", names, _LIFE_S, facts, at_ms=to_ms(now), merges="block", most_links=5)
            events.append(changed(arrival, updates=(update,)))
        await outbox(redis, Retention()).submit(ACCOUNT, events)


async def largest_dead_batch(redis: ArqRedis, part: float = 1) -> None:
    """Events that cannot become calls, from a source that has its share already."""
    share, letters = Retention(bytes=int(4 * 2**20 * part)), int(250 * part)
    await bury(redis, [letter(number) for number in range(letters)], share)
    await bury(redis, [letter(1000 + number) for number in range(letters)], share)


async def largest_claim(redis: ArqRedis, part: float = 1) -> None:
    """Calls of 32 KB: first those that have gone stale, then as many as one claim may take; settled in all ways."""
    stale, claimed = int(600 * part), int(CLAIMED * part)
    await queue(redis, [call(number, fresh=number >= stale) for number in range(stale + claimed)])
    consumer = LaneConsumer(redis, LANE, Pace(10_000_000), journal_entries=100_000)
    await consumer.acquire()
    entries: list[Any] = []
    while len(entries) < claimed:
        claim = await consumer.claim(CLAIMED, under_way=0)
        entries += claim.entries
        await asyncio.sleep(0.05)
    now = datetime.now(UTC)
    ends = []
    for number, entry in enumerate(entries[:400]):
        sent = Delivery.unpacked(entry.payload)
        ends.append(
            dead_lettered(entry, sent, b"{}", DeadLetter.of(sent, "http_400", "", {}))
            if number % 2
            else retried(entry, sent, b"{}", now, _DAY)
        )
    for start in range(0, len(ends), SETTLED_AT_ONCE):
        await consumer.settle(ends[start : start + SETTLED_AT_ONCE])
    await consumer.token()
    await consumer.release()
    await lanes_to_wake(redis, [LANE])


async def retries_that_are_due(redis: ArqRedis, part: float = 1) -> None:
    """As many as one claim returns to their streams."""
    members = {b"1" + call(number).packed(): 1.0 for number in range(int(CLAIMED * part))}
    for start in range(0, len(members), 100):
        await redis.zadd(LANE.keys.retry, dict(list(members.items())[start : start + 100]))
    consumer = LaneConsumer(redis, LANE, Pace(10_000_000), journal_entries=100_000)
    await consumer.acquire()
    await consumer.claim(CLAIMED, under_way=0)


async def old_dead_letters(redis: ArqRedis, part: float = 1) -> None:
    """Dead letters of two sources, all too old, and then too many."""
    await bury(redis, [letter(number) for number in range(int(1_000 * part))])
    await evict(redis, [ACCOUNT], Retention(entries=100))
    await evict(redis, [ACCOUNT], Retention(life=timedelta(microseconds=1)))


async def work_of_an_operator(redis: ArqRedis, part: float = 1) -> None:
    """A dead letter is edited, replayed as several calls, and deleted, next to a thousand others."""
    await bury(redis, [letter(number) for number in range(int(1_000 * part))])
    found = [each async for each in dead_letters(redis, [ACCOUNT], Filter(), now=datetime.now(UTC))][:3]
    record: Mapping[str, Any] = {"record": b"{}", "journal_entries": 100_000}
    await edit(redis, found[0], found[0], **record)
    await replay(redis, found[1], deliveries=[call(number) for number in range(6)], **record)
    await discard(redis, found[2], journal_entries=100_000)


async def backlog_that_is_dropped(redis: ArqRedis, part: float = 1) -> None:
    """A page of waiting calls at a time."""
    await queue(redis, [call(number) for number in range(int(1_000 * part))])
    await drop_waiting(redis, [LANE], DropReason.ACCOUNT_CHANGED, until=datetime.now(UTC) + _DAY)


async def an_erasure(redis: ArqRedis, part: float = 1) -> None:
    """Of a person with thousands of records, calls, dead letters and entries of the journal."""
    email, alone = "ada@example.com", "alone@example.com"  # the second one's list is short enough to share a hash
    subject = Subject.of(emails=[email, alone], phones=[], user_ids=[f"user-{n}" for n in range(100)], anonymous_ids=[])
    about_them = b'{"user":{"email":"ada@example.com"}}'
    calls = int(2_000 * part)
    await queue(redis, [changed(call(number, size=200), body=about_them) for number in range(calls)])
    now = datetime.now(UTC)
    await bury(redis, [DeadLetter(f"l-{n}", "page", "unmappable", "", about_them, now) for n in range(calls)])
    at_ms = to_ms(now)
    for start in range(0, int(1_000 * part), 50):
        updates = [
            ProfileUpdate(
                "upsert", (record_name("shop", "u", f"user-{n}"),), _LIFE_S,
                {"email": email, "phone": f"+1206{5_550_000 + n}"}, at_ms=at_ms,
            )
            for n in range(start, start + 50)
        ]  # fmt: skip
        await update_profiles(redis, ACCOUNT, updates)
    own = ProfileUpdate("upsert", (record_name("shop", "u", "user-0"),), _LIFE_S, {"email": alone}, at_ms=at_ms)
    await update_profiles(redis, ACCOUNT, [own])
    async with redis.pipeline(transaction=False) as pipeline:
        for who in subject.last_sent_parts:
            for number in range(int(500 * part)):
                pipeline.set(DestinationKeys(ACCOUNT).last_sent(f"{who}:{number}"), b"d", ex=60)
        await pipeline.execute()
    await ask(redis, ACCOUNT, Request("0" * 24, subject, "an operator"))
    await begin(redis, ACCOUNT, now=datetime.now(UTC))
    (erasure,) = await due(redis, ACCOUNT, now=datetime.now(UTC))
    stores = Stores(redis, ACCOUNT, [LANE], ["shop", "page"], ["shop"])

    async def checkpoint() -> None:
        return None

    await forget(stores, [erasure], checkpoint)
    await advance(redis, ACCOUNT, erasure, State.DONE, now=datetime.now(UTC), keep=_DAY)


async def many_profile_updates(redis: ArqRedis, part: float = 1) -> None:
    """Claims of a public source about one address that a hundred users have."""
    now = to_ms(datetime.now(UTC))
    facts = {"email": "shared@example.com", "phone": "+14155550132"}
    for start in range(0, int(200 * part), 5):
        for source in ("shop", "page"):
            updates = [
                ProfileUpdate(
                    "upsert", (record_name(source, "u", f"user-{n}"),), _LIFE_S, facts, at_ms=now, merges="block",
                    most_links=1_000, claim=source == "page", verified=source == "page",
                    user=contact_digest("user", "u1") if source == "page" else "",
                )
                for n in range(start, start + 5)
            ]  # fmt: skip
            await update_profiles(redis, ACCOUNT, updates)


async def new_event_keys(redis: ArqRedis, part: float = 1) -> None:
    """As many new keys of custom events as a worker remembers."""
    keys = EventKeys()
    for event in range(int(100 * part)):
        names = ",".join(f'"key-{event}-{number}":1' for number in range(500))
        keys.note(ACCOUNT, b'{"type":"Event %d","properties":{%b}}' % (event, names.encode()))
    await keys.flush(redis)


async def recorded_calls(redis: ArqRedis, part: float = 1) -> None:
    """The record of calls and the journal's index: watched by many, erased, too old, and left without their journal."""
    keys, calls = DestinationKeys(ACCOUNT), int(2_000 * part)
    head = row_head(RowOutcome.DEAD_LETTER, "page", "E", (LANE.endpoint,))
    async with redis.pipeline(transaction=False) as pipeline:
        for number in range(1, calls + 1):
            pipeline.xadd(keys.calls, {"d": text(number, 8_000)}, id=f"{number}-0")
            pipeline.rpush(keys.calls_index, b"%014d%05d" % (number, 0) + rows_of(f"m-{number}", head))
            pipeline.incrby(keys.calls_bytes, 8_048)
        await pipeline.execute()
    for number in range(int(100 * part)):
        await watch(redis, ACCOUNT, f"watcher {number}", EventFilter(event="E" * 200))
    for number in range(calls):
        rows = rows_of(f"m-{number}", head)
        await note(redis, ACCOUNT, f"m-{number}", "discarded", text(number, 400), rows, entries=100_000)
    await blank_rows(redis, ACCOUNT, [f"m-{number}" for number in range(4 * calls)])
    erased = [b"%d-0" % number for number in range(1, 201)]
    await remove_recorded(redis, ACCOUNT, erased, erasure=keys.erasure("1"), field="calls")
    await redis.xtrim(keys.journal, maxlen=1, approximate=False)
    await trim(redis, [ACCOUNT], Recording(calls=10), _DAY)


async def alerts_and_leases(redis: ArqRedis, part: float = 1) -> None:
    """An alert that changes, next to thousands of others, with messages for ten channels; and a sync that runs."""
    register, now = Register(redis, Side.WORKERS), to_ms(datetime.now(UTC))
    await register.lead()
    state = AlertState(Level.CRITICAL, since=now, value=1.0)
    alerts = [AlertId("backlog_old", (ACCOUNT, f"lane {number}")) for number in range(int(2_000 * part))]
    message = Message(Kind.RECOVERY, Level.CRITICAL, "t" * 200, "b" * 2_000, "key", now)
    for alert in alerts:
        await register.change(alert, Stored(AlertState()), state, {}, now)
    await register.change(
        alerts[0], (await register.states())[alerts[0]], AlertState(), {f"c{n}": message for n in range(10)}, now
    )
    await register.step_down()
    await lease_sync(redis, ACCOUNT, "crm", "a run")


async def handed_over_rows(redis: ArqRedis, part: float = 1) -> None:
    """Rows of a sync that are followed, whose contacts have as many users as are listed for one."""
    keys, users = DestinationKeys(ACCOUNT), {f"shop:u{number:032}": number for number in range(100)}
    contacts = [("email", f"e{number}@example.com") for number in range(int(1_000 * part))]
    async with redis.pipeline(transaction=False) as pipeline:
        for contact in contacts:
            pipeline.zadd(keys.contact(contact_digest(*contact)), users)
        await pipeline.execute()
    await users_with(redis, ACCOUNT, contacts)
    await follow(redis, ACCOUNT, [event_key("sync:crm", f"m-{number}") for number in range(int(10_000 * part))])


Scenario = Callable[[ArqRedis, float], Awaitable[None]]
SCENARIOS: Final[Mapping[str, Scenario]] = {
    f"a batch of {BATCH:,} identify calls, each with a profile": largest_batch,
    f"{EVENTS_PER_FLUSH} dead letters of 32 KB from a source that has its share": largest_dead_batch,
    f"a claim of {CLAIMED:,} calls of 32 KB, 600 others gone stale; {SETTLED_AT_ONCE} settled at once": largest_claim,
    f"{CLAIMED:,} retries of 32 KB that are due": retries_that_are_due,
    "1,000 dead letters of 32 KB that are too old or too many": old_dead_letters,
    "a dead letter that becomes 6 calls of 32 KB": work_of_an_operator,
    "1,000 waiting calls of 32 KB that are dropped": backlog_that_is_dropped,
    "the erasure of a person with 1,000 profiles, 2,000 calls and 2,000 dead letters": an_erasure,
    "5 claims about an address that 100 users have": many_profile_updates,
    "new keys of custom events": new_event_keys,
    "2,000 recorded calls and entries of the journal": recorded_calls,
    "an alert among 2,000, for 10 channels": alerts_and_leases,
    "1,000 rows of a sync, whose contacts have 100 users each": handed_over_rows,
}


async def measure(url: str, repeats: int) -> list[Worst]:
    """The longest run of each script, over all scenarios; of several repeats of a scenario, the quickest."""
    redis = open_redis(url)
    await redis.config_set("slowlog-log-slower-than", 0)
    await redis.config_set("slowlog-max-len", 100_000)
    for script in SCRIPTS.values():  # else Redis refuses the first run, in no time, and is sent the text
        await redis.script_load(script.text)
    names = {script._sha.encode(): name for name, script in SCRIPTS.items()}
    worst: dict[str, Worst] = {}
    for title, scenario in SCENARIOS.items():
        took: dict[str, float] = {}
        for _ in range(repeats):
            await redis.flushall()
            await redis.slowlog_reset()
            await scenario(redis, 1)
            for name, ms in (await _longest(redis, names)).items():
                took[name] = min(took.get(name, ms), ms)
        for name, ms in took.items():
            if name not in worst or ms > worst[name].ms:
                worst[name] = Worst(name, title, ms)
    await redis.aclose()
    return sorted(worst.values(), key=lambda each: -each.ms)


async def _longest(redis: ArqRedis, names: Mapping[bytes, str]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for entry in await redis.slowlog_get(100_000):
        words = cast(bytes, entry["command"]).split(b" ", 2)
        if words[0].upper() == b"EVALSHA" and words[1] in names:
            name = names[words[1]]
            longest[name] = max(longest.get(name, 0.0), entry["duration"] / 1000)
    return longest


def with_table(page: str, table: str) -> str:
    """The page with another table between its marks."""
    return _PAGE.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", page)


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table or write it into a page, and return 1 where a script takes too long or was not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scripts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args(arguments)
    with store() as kept:
        found = asyncio.run(measure(kept.url, args.repeats))
    rows = [(f"`{each.script}`", each.title, f"{each.ms:.1f}") for each in found]
    table = markdown(("Script", "Its worst input", "ms"), rows, words=2)
    print(table)
    if args.write:
        page = args.write.read_text(encoding="utf-8")
        args.write.write_text(with_table(page, f"{table}\n\n{machine()}"), encoding="utf-8")
    silent = SCRIPTS.keys() - {each.script for each in found}
    slow = [each.script for each in found if each.ms > MOST_MS]
    for problem in (*(f"{name} was not run" for name in sorted(silent)), *(f"{name} takes too long" for name in slow)):
        print(problem, file=sys.stderr)
    return 1 if silent or slow else 0


if __name__ == "__main__":
    sys.exit(main())
