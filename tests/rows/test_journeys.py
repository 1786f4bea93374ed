"""Rows of a file through a real gateway: the calls that reach Attentive, and the report on each row."""

import csv
import json
import signal
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import yaml

from app.embedded import RedisBinary
from app.rows.outcomes import Bucket
from app.store.keys import DestinationKeys
from tests.forking import start_forked
from tests.local import HTTP
from tests.rows.s3 import Store
from tests.stack import COMMAND, DESTINATION, Stack, message_id, stack, wait_until
from tests.waiting import patient

LOYALTY: Final = {
    "destination": DESTINATION,
    "source": {"csv": "loyalty.csv"},
    "key": "customer_id",
    "object": "attributes",
    "identifiers": {"client_user_id": "customer_id"},
    "fields": {"loyalty_tier": "tier", "loyalty_points": "points"},
    "types": {"loyalty_points": "number"},
}


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("rows"), redis_binary) as started:
        yield started


class Shop:
    """A folder with tables, and the commands that send them."""

    def __init__(self, running: Stack, folder: Path) -> None:
        self.running, self.folder = running, folder
        self._content: dict[str, Any] = yaml.safe_load(running.config.read_text())
        self.config = folder / "gateway.yaml"
        self.environment = {"GATEWAY_CONFIG": str(self.config), "GATEWAY_SYNC_STATE": str(folder / "state")}

    def define(self, **syncs: Any) -> None:
        placed = {name: {**sync, "source": self._placed(sync["source"])} for name, sync in syncs.items()}
        self.config.write_text(yaml.safe_dump({**self._content, "syncs": placed}))

    def _placed(self, source: dict[str, Any]) -> dict[str, Any]:
        files = ("csv", "ndjson", "parquet", "xlsx")
        return {key: str(self.folder / value) if key in files else value for key, value in source.items()}

    def write(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        with (self.folder / name).open("w", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]))
            lines.writeheader()
            lines.writerows(rows)

    def sync(self, *arguments: str, status: int | None = 0) -> str:
        self.running.environment |= self.environment
        done = self.running.run("sync", *arguments)
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout or done.stderr

    def facts(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.sync(*arguments, "--json", status=status).splitlines()[-1])
        return facts


@pytest.fixture
def shop(running: Stack, tmp_path: Path) -> Shop:
    running.heal()
    return Shop(running, tmp_path)


def customer(number: int, tier: str = "gold", **more: Any) -> dict[str, Any]:
    who = f"r{number}"
    return {"customer_id": who, "email": f"{who}@example.com", "phone": "", "tier": tier, "points": number, **more}


def test_a_table_is_sent_once_and_then_only_what_changed(shop: Shop) -> None:
    shop.define(loyalty={**LOYALTY})
    shop.write("loyalty.csv", [customer(number) for number in range(1, 31)])
    plan = shop.facts("plan", "loyalty")
    assert (plan["read"], plan["rows"]["new"], plan["calls"]) == (30, 30, {"user-attributes": 30})
    first = shop.facts("run", "loyalty")
    assert (first["read"], first["delivered"], first["waiting"]) == (30, 30, 0)
    (call,) = shop.running.ledger(contains="r7@example.com")
    assert call["body"] == {
        "identifiers": {"email": "r7@example.com", "clientUserId": "r7"},
        "attributes": {"custom": {"loyalty_tier": "gold", "loyalty_points": 7}},
    }
    shop.write("loyalty.csv", [customer(number, "platinum" if number <= 2 else "gold") for number in range(1, 32)])
    second = shop.facts("run", "loyalty")
    assert (second["unchanged"], second["delivered"], second["read"]) == (28, 3, 31)
    assert len(shop.running.ledger(contains="r1@example.com")) == 2
    assert len(shop.running.ledger(contains="r7@example.com")) == 1


def test_customers_who_share_a_number_are_not_linked(shop: Shop) -> None:
    shop.define(household={**LOYALTY, "source": {"csv": "household.csv"}})
    shared = [customer(number, phone="+14155550132") for number in range(50, 58)]
    shop.write("household.csv", [*shared, customer(58)])
    plan = shop.facts("plan", "household")
    assert (plan["not_sent"], plan["calls"]) == ({"dropped:identifier_shared": 8}, {"user-attributes": 1})
    report = shop.facts("run", "household", status=3)
    assert (report["reasons"], report["delivered"]) == (plan["not_sent"], 1)
    assert shop.running.ledger(contains="+14155550132") == []
    (first, *_) = [json.loads(line) for line in shop.sync("rejects", "household", "--format", "ndjson").splitlines()]
    assert (first["code"], "identifiers.most_links" in first["action"]) == ("identifier_shared", True)


def test_customers_who_share_a_number_by_the_events_of_trackers_are_not_linked(shop: Shop) -> None:
    phone = "+14155550177"
    shop.define(tracked={**LOYALTY, "source": {"csv": "tracked.csv"}})
    for number in range(160, 165):
        known = {"userId": f"r{number}", "messageId": message_id(), "traits": {"phone": phone}}
        assert shop.running.post("/v1/identify", known).status_code == 200
    shop.write("tracked.csv", [customer(160, phone=phone), customer(165, phone=phone), customer(166)])
    for way in ("lanes", "bulk"):
        report = shop.facts("run", "tracked", status=3)
        assert report["reasons"] == {"dropped:identifier_shared": 1}, way
        (reject,) = [json.loads(line) for line in shop.sync("rejects", "tracked", "--format", "ndjson").splitlines()]
        assert (reject["row"], reject["detail"]) == (2, "More than 5 people in profiles have this phone.")
        shop.define(tracked={**LOYALTY, "source": {"csv": "tracked.csv"}, "bulk_from": 1})
    assert [call for call in shop.running.ledger(contains="r165") if "phone" in str(call["body"])] == []


EVENTS: Final = {
    "destination": DESTINATION,
    "source": {"ndjson": "points.ndjson"},
    "key": "id",
    "object": "events",
    "event": {"constant": "Points Earned"},
}


def write_lines(shop: Shop, rows: Iterable[dict[str, Any]]) -> None:
    (shop.folder / "points.ndjson").write_text("\n".join(json.dumps(row) for row in rows))


def test_every_row_is_in_one_bucket_and_its_reason_is_explained(shop: Shop) -> None:
    database_url = f"sqlite:///{shop.folder / 'missing' / 'results.db'}"
    points: dict[str, Any] = {**EVENTS, "duplicates": "reject", "results": {"connection": database_url}}
    shop.define(points=points)
    now = datetime.now(UTC)
    shop.running.fault(kind="status", path="/v1/events/custom", person="refused@example.com", status=400)
    rows: list[dict[str, Any]] = [
        {"id": "e1", "email": "e1@example.com", "timestamp": now.isoformat(), "points": 3},
        {"id": "e2", "email": "refused@example.com"},
        {"id": "e3", "email": "not an address"},
        {"id": "e4"},
        {"id": "e5", "email": "e5@example.com", "timestamp": (now - timedelta(days=9)).isoformat()},
        {"id": "", "email": "e6@example.com"},
        {"id": "e7", "email": "e7@example.com"},
        {"id": "e7", "email": "e8@example.com"},
    ]
    write_lines(shop, rows)
    plan = shop.facts("plan", "points")
    assert plan["calls"] == {"custom-event": 2}
    assert plan["may_start_journeys"] == 2
    assert "attentive_results of `results` cannot be written" in shop.sync("run", "points", status=1)
    points["results"]["connection"] = f"sqlite:///{shop.folder / 'results.db'}"
    shop.define(points=points)
    report = shop.facts("resume", "points", status=3)
    assert (report["delivered"], report["dropped"], report["dead"], report["waiting"]) == (1, 5, 2, 0)
    assert sum(report[bucket.value] for bucket in Bucket) == report["read"] == 8
    with closing(sqlite3.connect(shop.folder / "results.db")) as database:
        written = dict(database.execute("SELECT row_key, ended || ':' || code FROM attentive_results"))
    assert written["e1"] == "delivered:"
    assert written["e2"] == "dead:http_400"
    assert written["e7"] == "dropped:key_duplicate"
    assert set(written) == {"e1", "e2", "e3", "e4", "e5", "e7"}
    printed = [json.loads(line) for line in shop.sync("rejects", "points", "--format", "ndjson").splitlines()]
    assert {row["key"]: row["code"] for row in printed} == {
        "e2": "http_400",
        "e3": "unusable_identity",
        "e4": "no_identity",
        "e5": "too_old",
        "": "key_missing",
        "e7": "key_duplicate",
    }
    assert all(row["action"] for row in printed)
    assert "http_400" in shop.sync("rejects", "points", "--format", "csv")


def test_an_event_whose_dead_letter_is_replayed_is_not_sent_again(shop: Shop) -> None:
    shop.define(replayed=EVENTS)
    shop.running.fault(kind="status", path="/v1/events/custom", person="later@example.com", status=400)
    write_lines(shop, [{"id": "d1", "email": "later@example.com"}])
    assert shop.facts("run", "replayed", status=3)["dead"] == 1
    shop.running.heal()
    assert shop.facts("run", "replayed", status=3)["dead"] == 1
    assert shop.running.ledger(contains="later@example.com") == []
    replayed = shop.running.run("dead-letters", "replay", "--reason", "http_400", "--all", "--yes")
    assert "sent again" in replayed.stdout, replayed.stderr
    wait_until(lambda: bool(shop.running.ledger(contains="later@example.com")), "the dead letter is delivered")
    assert shop.facts("run", "replayed")["unchanged"] == 1
    assert len(shop.running.ledger(contains="later@example.com")) == 1


def test_a_lost_state_sends_no_event_twice(shop: Shop) -> None:
    shop.define(lost=EVENTS)
    write_lines(shop, [{"id": "l1", "email": "lost@example.com"}])
    shop.facts("run", "lost")
    (shop.folder / "state" / "lost.sqlite").unlink()
    assert "state_lost" in shop.sync("run", "lost", status=1)
    assert shop.facts("run", "lost", "--baseline")["unchanged"] == 1
    write_lines(shop, [{"id": name, "email": "lost@example.com"} for name in ("l1", "l2")])
    assert shop.facts("run", "lost")["delivered"] == 1
    assert len(shop.running.ledger(contains="lost@example.com")) == 2
    assert "is empty" in shop.sync("reset", "lost", "--yes")
    assert shop.facts("status", "lost")["accepted"] == 0


def test_update_sends_people_alone_whom_the_gateway_knows(shop: Shop) -> None:
    known = {"userId": "k1", "messageId": message_id(), "traits": {"email": "known@example.com"}}
    assert shop.running.post("/v1/identify", known).status_code == 200
    shop.define(loyalty={**LOYALTY, "mode": "update"})
    shop.write("loyalty.csv", [customer(1, email="known@example.com"), customer(2, email="stranger@example.com")])
    report = shop.facts("run", "loyalty", status=3)
    assert (report["delivered"], report["reasons"]) == (1, {"dropped:not_known": 1})
    assert shop.running.ledger(contains="stranger@example.com") == []


def test_what_cannot_be_read_or_told_apart_sends_nothing(shop: Shop) -> None:
    shop.define(loyalty={**LOYALTY})
    assert "There is no file" in shop.sync("run", "loyalty", status=1)
    assert problem_of(shop, "loyalty") == b"failed"
    shop.write("loyalty.csv", [customer(81), customer(81)])
    assert "cannot be identified" in shop.sync("run", "loyalty", status=1)
    assert "would be refused" in shop.sync("plan", "loyalty", status=1)
    assert shop.running.ledger(contains="r81@example.com") == []
    states = [json.loads(line)["state"] for line in shop.sync("history", "loyalty", "--json").splitlines()]
    assert states == ["refused", "failed"]
    assert "There is no sync 'loyal'" in shop.sync("run", "loyal", status=2)
    assert "loyalty" in shop.sync("list")


def problem_of(shop: Shop, sync: str) -> bytes | None:
    """What alerts know of the last run."""
    with redis.Redis(port=shop.running.redis_port) as client:
        found: bytes | None = client.hget(DestinationKeys(DESTINATION).sync_problems, sync)
        return found


GOLD: Final = {
    "destination": DESTINATION,
    "source": {"csv": "gold.csv"},
    "key": "customer_id",
    "object": "audience",
    "mode": "mirror",
    "identifiers": {"client_user_id": "customer_id"},
    "segment": {"external_id": "gold", "name": "Gold members"},
}


def members(shop: Shop) -> set[str]:
    (found,) = HTTP.get(f"{shop.running.sandbox.url}/_sandbox/segments").json()["segments"]
    return {each["value"] for member in found["members"] for each in member["identifiers"] if each["kind"] == "email"}


def test_an_audience_is_mirrored_and_removals_wait_for_approval(shop: Shop) -> None:
    shop.define(gold=GOLD)
    shop.write("gold.csv", [customer(number) for number in (61, 62, 63)])
    assert shop.facts("plan", "gold")["calls"] == {"segment-members": 3}
    assert shop.facts("run", "gold")["delivered"] == 3
    assert members(shop) == {f"r{number}@example.com" for number in (61, 62, 63)}
    shop.write("gold.csv", [customer(number) for number in (61, 62, 64)])
    plan = shop.facts("plan", "gold", status=1)
    assert (plan["removals"], plan["rows"]["new"]) == (1, 1)
    refused = shop.sync("run", "gold", status=1)
    assert "would remove 1 person of 3" in refused
    assert len(members(shop)) == 3
    assert problem_of(shop, "gold") == b"stopped"
    held = shop.facts("status", "gold")["runs"][0]
    assert held["state"] == "held"
    assert "sync approve gold" in shop.sync("status", "gold")
    assert shop.facts("approve", "gold", held["run"])["delivered"] == 2
    assert problem_of(shop, "gold") is None
    assert members(shop) == {f"r{number}@example.com" for number in (61, 62, 64)}
    assert "does not wait for an approval" in shop.sync("approve", "gold", held["run"], status=2)
    shop.define(gold={**GOLD, "mode": "remove", "removals": {"most_removals": 5}, "source": {"csv": "leave.csv"}})
    shop.sync("reset", "gold", "--yes")
    shop.write("leave.csv", [customer(62)])
    assert shop.facts("run", "gold")["delivered"] == 1
    assert members(shop) == {f"r{number}@example.com" for number in (61, 64)}


CONSENTS: Final = {
    "destination": DESTINATION,
    "source": {"csv": "consents.csv"},
    "key": "customer_id",
    "object": "subscribers",
    "identifiers": {"client_user_id": "customer_id"},
    "consent": {
        "column": "sms",
        "opt_in": ["yes"],
        "opt_out": ["no"],
        "channels": "text",
        "locale": {"language": "en", "country": "US"},
    },
    "removals": {"most_share": 0.2},
}


def subscriber(number: int, sms: str, phone: str | None = None) -> dict[str, Any]:
    return {"customer_id": f"s{number}", "phone": phone or f"+1415555{number:04}", "sms": sms}


def test_people_are_opted_in_and_out_by_a_column_and_never_in_again(shop: Shop) -> None:
    def sent(path: str) -> list[str]:
        calls = [call["body"] for call in shop.running.ledger(path=path) if call["method"] == "POST"]
        return sorted(body["user"]["phone"][-4:] for body in calls)

    shop.define(consents=CONSENTS)
    stated = [(901, "yes"), (902, "yes"), (903, "no"), (904, "maybe"), (905, "")]
    shop.write("consents.csv", [*(subscriber(*each) for each in stated), subscriber(906, "yes", "+14155550903")])
    plan = shop.facts("plan", "consents")
    assert plan["calls"] == {"subscribe": 2, "unsubscribe": 1}
    assert plan["not_sent"] == {"dropped:consent_unclear": 2, "dropped:opted_out": 1}
    report = shop.facts("run", "consents", status=3)
    assert (report["delivered"], report["reasons"]) == (3, plan["not_sent"])
    assert sent("/v1/subscriptions") == ["0901", "0902"]
    shop.write("consents.csv", [subscriber(901, "no"), subscriber(902, "no")])
    assert "would unsubscribe 2 people of 2 rows" in shop.sync("run", "consents", status=1)
    held = shop.facts("status", "consents")["runs"][0]["run"]
    assert sent("/v1/subscriptions/unsubscribe") == []
    assert shop.facts("approve", "consents", held)["delivered"] == 2
    assert sent("/v1/subscriptions/unsubscribe") == ["0901", "0902"]
    shop.sync("reset", "consents", "--yes")
    shop.write("consents.csv", [subscriber(number, "yes") for number in (901, 902, 903)])
    assert shop.facts("run", "consents", status=3)["reasons"] == {"dropped:opted_out": 3}
    assert sent("/v1/subscriptions") == ["0901", "0902"]


def test_many_attributes_go_by_the_bulk_endpoint_and_are_settled_by_their_job(shop: Shop) -> None:
    shop.define(many={**LOYALTY, "source": {"csv": "many.csv"}, "bulk_from": 2})
    rows = [customer(number, "iron" if number == 407 else "gold") for number in range(400, 700)]
    shop.write("many.csv", rows)
    switches = f"{shop.running.sandbox.url}/_sandbox/config"
    HTTP.patch(switches, json={"attribute_options": {"loyalty_tier": ["gold", "platinum"]}})
    report = shop.facts("run", "many", status=3)
    assert (report["delivered"], report["reasons"]) == (299, {"dead:http_400": 1})
    assert len(shop.running.ledger(path="/v2/bulk/user/attributes")) == 2
    HTTP.patch(switches, json={"attribute_options": {}})
    rows[0]["tier"] = "platinum"
    shop.write("many.csv", rows)
    assert shop.facts("run", "many")["delivered"] == 2


def test_a_run_that_is_killed_anywhere_goes_on_at_the_row(shop: Shop) -> None:
    shop.define(killed=EVENTS)
    write_lines(shop, [{"id": f"s{number}", "email": f"s{number}@kill.example.com"} for number in range(300)])
    environment = {**shop.running.environment, **shop.environment}

    def arrived() -> int:
        return len(shop.running.ledger(contains="@kill.example.com"))

    for number, after in enumerate((1, 60, 130, 200)):
        wait_for_lease(shop, "killed")
        log = shop.folder / f"run-{number}.log"
        run = start_forked(COMMAND, ("sync", "run", "killed", "--json"), log=log, environment=environment)
        wait_until(lambda: arrived() >= after or run.poll() is not None, f"{after} rows arrive")  # noqa: B023
        run.kill()
        run.wait()
    wait_for_lease(shop, "killed")
    shop.sync("resume", "killed")
    shop.sync("run", "killed")
    assert shop.facts("status", "killed")["accepted"] == 300
    assert arrived() == 300


def test_a_run_goes_on_elsewhere_with_the_state_in_s3(shop: Shop, s3: Store) -> None:
    shop.define(moved=EVENTS)
    write_lines(shop, [{"id": f"m{number}", "email": f"m{number}@moved.example.com"} for number in range(200)])
    shop.environment |= {"GATEWAY_SYNC_STATE": "s3://shop/syncs", **s3.environment}
    environment = {**shop.running.environment, **shop.environment}

    def arrived() -> int:
        return len(shop.running.ledger(contains="@moved.example.com"))

    run = start_forked(COMMAND, ("sync", "run", "moved"), log=shop.folder / "run.log", environment=environment)
    wait_until(lambda: arrived() >= 40 or run.poll() is not None, "some rows arrive")
    run.kill()
    run.wait()
    wait_for_lease(shop, "moved")
    assert list(s3.objects) == ["shop/syncs/moved.sqlite"]
    assert shop.facts("resume", "moved")["delivered"] == 200
    assert shop.facts("run", "moved")["unchanged"] == 200
    assert shop.facts("status", "moved")["accepted"] == 200
    assert arrived() == 200


def test_the_schedule_continues_what_was_interrupted_and_ends_in_order(shop: Shop) -> None:
    shop.define(nightly={**EVENTS, "schedule": "0 3 1 1 *"})
    shop.running.fault(kind="status", path="/v1/events/custom", status=503, count=2)
    write_lines(shop, [{"id": "n1", "email": "n1@example.com"}])
    shop.sync("run", "nightly", "--no-wait", status=None)
    environment = {**shop.running.environment, **shop.environment}
    log = shop.folder / "schedule.log"
    schedule = start_forked(COMMAND, ("sync", "schedule"), log=log, environment=environment)
    wait_until(lambda: shop.facts("status", "nightly")["runs"][0]["state"] == "done", "the run is done")
    schedule.send_signal(signal.SIGTERM)
    assert schedule.wait(patient(10)) == 0
    assert "sync.scheduled" in log.read_text()
    assert len(shop.running.ledger(contains="n1@example.com")) == 1


def wait_for_lease(shop: Shop, sync: str) -> None:
    """Let the lease of a killed process end, as its time would."""
    with redis.Redis(port=shop.running.redis_port) as client:
        client.delete(f"{{{DESTINATION}}}:sync_lease:{sync}")
