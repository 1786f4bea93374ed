"""What the intake refuses is recorded: enough to explain it, never so much that it costs anything."""

import gzip

import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from app.delivery.journal.refusals import Refusal
from app.ingest.intake import Limits
from app.ingest.refusal import Refused
from app.ingest.refusal_log import MOST_IDS, MOST_PENDING, PER_MINUTE, RefusalLog, message_ids_in
from tests.builders import track
from tests.fakes import OTHER_KEY, Harness, open_intake
from tests.ingest.test_admission import Clock

BAD = {"messageId": "m-1", "event": "Product Added", "userId": ["no", "text"]}


async def recorded(intake: Harness) -> list[Refusal]:
    await intake.refusals.flush()
    return intake.recorded


class TestWhatIsRecorded:
    async def test_a_bad_event_with_its_rule_field_and_id(self) -> None:
        intake = open_intake()
        answer = await intake.post("/v1/track", BAD)
        (refusal,) = await recorded(intake)
        assert refusal.message_ids == ("m-1",)
        assert (refusal.source, refusal.path, refusal.status) == ("shop", "/v1/track", 400)
        assert (refusal.code, refusal.field) == (answer.json()["code"], "userId")
        assert refusal.message == answer.json()["message"]

    async def test_each_bad_event_of_a_batch(self) -> None:
        intake = open_intake()
        bad = [BAD | {"type": "track", "messageId": f"m-{number}"} for number in range(2)]
        answer = await intake.post("/v1/batch", {"batch": [track("Product Added"), *bad]}, key=OTHER_KEY)
        assert answer.status_code == 200
        assert [(each.source, each.message_ids) for each in await recorded(intake)] == [
            ("app", ("m-0",)),
            ("app", ("m-1",)),
        ]

    async def test_a_batch_without_a_good_event_once(self) -> None:
        intake = open_intake()
        batch = [BAD | {"type": "track", "messageId": f"m-{number}"} for number in range(20)]
        assert (await intake.post("/v1/batch", {"batch": batch})).status_code == 400
        (refusal,) = await recorded(intake)
        assert refusal.message_ids == tuple(f"m-{number}" for number in range(MOST_IDS))

    async def test_a_stranger(self) -> None:
        intake = open_intake()
        await intake.post("/v1/track", track("Product Added", messageId="m-9"), key="no-such-key")
        (refusal,) = await recorded(intake)
        assert (refusal.source, refusal.code, refusal.message_ids) == ("", "unknown_source", ("m-9",))

    async def test_a_body_of_a_known_source_that_is_not_json(self) -> None:
        intake = open_intake()
        await intake.post("/v1/track", b'{"messageId": "m-1", "event"')
        (refusal,) = await recorded(intake)
        assert (refusal.source, refusal.code, refusal.message_ids) == ("shop", "bad_request", ("m-1",))

    async def test_an_event_that_is_too_large(self) -> None:
        intake = open_intake(limits=Limits(event_bytes=1000))
        await intake.post("/v1/track", {"padding": "x" * 2000, **BAD, "userId": "u"})
        (refusal,) = await recorded(intake)
        assert (refusal.code, refusal.message_ids) == ("event_too_large", ("m-1",))

    async def test_a_path_that_does_not_exist(self) -> None:
        intake = open_intake()
        await intake.post("/v1/trak", {})
        (refusal,) = await recorded(intake)
        assert (refusal.status, refusal.path, refusal.source) == (404, "/v1/trak", "")

    async def test_nothing_of_what_is_accepted(self) -> None:
        intake = open_intake()
        assert (await intake.post("/v1/track", track("Product Added"))).status_code == 200
        assert await recorded(intake) == []

    async def test_no_personal_data(self) -> None:
        intake = open_intake()
        personal = "jane@shop-a.example"
        await intake.post(f"/v1/{personal}", {})
        await intake.post("/v1/track", BAD | {"messageId": personal})
        found = await recorded(intake)
        assert found[1].message_ids[0].startswith("sha256:")
        assert personal not in repr(found)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        pytest.param(b'{"messageId": "a"', ["a"], id="JSON that is cut off"),
        pytest.param(b'[{"messageId": "a"}, {"messageId": "b"}]', ["a", "b"], id="a list"),
        pytest.param(b'{"batch": [{"messageId": "a"}, {}]}', ["a"], id="a batch"),
        pytest.param(gzip.compress(b'{"messageId": "a"}'), ["a"], id="gzip"),
        pytest.param(gzip.compress(b'{"messageId": "a"}')[:-12] + b"!" * 9, [], id="damaged gzip"),
        pytest.param(b'{"messageId": {"a": 1}}', [], id="an ID that is an object"),
        pytest.param(b"\xff\x00", [], id="no text"),
        pytest.param(b"[" * 100_000, [], id="deep nesting"),
        pytest.param(orjson.dumps({"messageId": "a" * 500}), ["sha256:"], id="a long ID by its digest"),
    ],
)
def test_the_ids_of_a_body_are_found(body: bytes, ids: list[str]) -> None:
    assert [each[:7] for each in message_ids_in(body)] == ids


class TestItsBounds:
    async def test_so_many_of_a_source_and_code_within_a_minute(self) -> None:
        clock = Clock()
        stored: list[Refusal] = []

        async def store(found: object) -> None:
            stored.extend(found)  # type: ignore[arg-type]

        log = RefusalLog(store, clock=clock)
        for _ in range(1000):
            log.note(Refused(400, "bad_request", "no", source="shop"), "/v1/track")
        log.note(Refused(400, "bad_request", "no", source="app"), "/v1/track")
        await log.flush()
        assert [each.source for each in stored] == ["shop"] * PER_MINUTE + ["app"]
        clock.now += 61
        await log.flush()
        assert [(each.source, each.others) for each in stored[PER_MINUTE + 1 :]] == [("shop", 1000 - PER_MINUTE)]
        log.note(Refused(400, "bad_request", "no", source="shop"), "/v1/track")
        await log.flush()
        assert stored[-1].others == 0

    async def test_what_waits_for_a_redis_that_is_away(self) -> None:
        away, stored = True, list[Refusal]()

        async def store(found: object) -> None:
            if away:
                raise RedisConnectionError
            stored.extend(found)  # type: ignore[arg-type]

        log = RefusalLog(store)
        for number in range(2 * MOST_PENDING):
            log.note(Refused(400, f"code-{number}", "no"), "/v1/track")
        with pytest.raises(RedisConnectionError):
            await log.flush()
        log.note(Refused(400, "the last", "no"), "/v1/track")
        away = False
        await log.flush()
        assert len(stored) == MOST_PENDING
        assert stored[-1].code == "the last"

    async def test_the_length_of_each_text(self) -> None:
        intake = open_intake()
        await intake.post("/v1/" + "x" * 5000, {})
        await intake.post(
            "/v1/track", {"type": "track", "event": "x", "userId": {"a": "b" * 9000}, "messageId": "c" * 9000}
        )
        assert all(len(repr(each)) < 2500 for each in await recorded(intake))
