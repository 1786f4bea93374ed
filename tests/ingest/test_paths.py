"""Every address that trackers post to: what comes there is taken as what it is, with and without a slash at the end."""

from typing import Any, Final

import pytest

from app.ingest.paths import BY_PATH, TRACKING_PATHS
from tests import builders
from tests.builders import EMAIL, Raw
from tests.fakes import WRITE_KEY, Harness, open_intake

TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")

ONE_EVENT: Final = [
    *((f"/v1/{kind}", kind, f"{kind} written out") for kind in TYPES),
    ("/v1/delete", "delete", "somebody is to be forgotten"),
    *((f"/v1/{kind[0]}", kind, f"{kind} by its first letter") for kind in TYPES),
    *((f"/api/s/{kind}", kind, f"{kind} from Jitsu in a browser") for kind in TYPES),
    *((f"/api/s/s2s/{kind}", kind, f"{kind} from Jitsu on a server") for kind in TYPES),
]
MANY_EVENTS: Final = [
    ("/v1/batch", "servers"),
    ("/v1/import", "Ruby, .NET and Java"),
    ("/v1/b", "browsers and phones in batches"),
    ("/beacon/v1/batch", "RudderStack's beacon"),
    ("/v1/batch/b", "a host with the whole path in it"),
    ("/batch", "a host without the version"),
    ("/batch/b", "a host without the version, and a letter"),
    ("/b", "a host without the version, by a letter"),
]
SLASH: Final = [pytest.param("", id="without a slash"), pytest.param("/", id="with a slash at the end")]


def event(kind: str, **fields: Any) -> Raw:
    """An event by somebody who is known. Its type is for the path to say."""
    raw = builders.track("Coupon Entered", {"path": "/"}, timestamp=None, traits={"vip": True, "email": EMAIL})
    del raw["type"]
    return raw | ({"groupId": "g-1"} if kind == "group" else {"previousId": "p-1"} if kind == "alias" else {}) | fields


@pytest.mark.parametrize("slash", SLASH)
@pytest.mark.parametrize(("path", "kind"), [pytest.param(path, kind, id=who) for path, kind, who in ONE_EVENT])
async def test_one_event_is_taken_as_what_its_path_says(intake: Harness, path: str, kind: str, slash: str) -> None:
    answer = await intake.post(path + slash, event(kind))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [record["type"] for record in intake.outbox.records] == [kind]


@pytest.mark.parametrize("slash", SLASH)
@pytest.mark.parametrize("path", [pytest.param(path, id=who) for path, who in MANY_EVENTS])
async def test_many_events_are_taken_as_what_they_say_themselves(intake: Harness, path: str, slash: str) -> None:
    answer = await intake.post(path + slash, {"batch": [event(kind, type=kind) for kind in TYPES]})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [record["type"] for record in intake.outbox.records] == list(TYPES)


@pytest.mark.parametrize("slash", SLASH)
@pytest.mark.parametrize("path", [pytest.param(path, id=who) for path, who in MANY_EVENTS])
async def test_a_bare_list_or_a_single_event_will_do_where_batches_come(intake: Harness, path: str, slash: str) -> None:
    """Webhooks post either to the one address that they know."""
    assert (await intake.post(path + slash, [event("track", type="track")])).status_code == 200
    assert (await intake.post(path + slash, event("page", type="page"))).status_code == 200
    assert [record["type"] for record in intake.outbox.records] == ["track", "page"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"series": [{"type": "Counter", "metric": "m", "value": 1, "tags": {}}]}, id="counters"),
        pytest.param(b"\x1f\x8b gzip it is not", id="bytes that are nothing"),
        pytest.param(b"", id="nothing"),
    ],
)
@pytest.mark.parametrize("slash", SLASH)
async def test_what_trackers_say_about_themselves_is_thrown_away(intake: Harness, slash: str, body: Any) -> None:
    answer = await intake.post("/v1/m" + slash, body, key=None)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert intake.outbox.arrivals == []


def test_no_path_is_served_that_is_not_in_these_tables() -> None:
    tested = {path for path, *_ in (*ONE_EVENT, *MANY_EVENTS)} | {"/v1/m"}
    assert {form.path for form in TRACKING_PATHS} == tested
    assert set(BY_PATH) == tested | {f"{path}/" for path in tested}


@pytest.mark.parametrize("slash", SLASH)
@pytest.mark.parametrize(
    "path",
    [
        *(pytest.param(form.path, id=form.path) for form in TRACKING_PATHS),
        pytest.param("/v1/nothing", id="a path that is none"),
        pytest.param("//v1/track", id="a path with two slashes"),
        pytest.param("/v1/Track", id="a path in other letters"),
        pytest.param("/healthz", id="a page of another kind"),
    ],
)
async def test_no_answer_is_a_redirect(path: str, slash: str) -> None:
    """Most trackers would follow one with a GET, and some would call it delivered."""
    intake = open_intake()
    async with intake.http:
        for method in ("POST", "GET", "HEAD", "PUT"):
            answer = await intake.http.request(method, "http://gateway" + path + slash, content=b"{}")
            assert not 300 <= answer.status_code < 400


class TestCallsThatAreNotForwarded:
    @pytest.mark.parametrize("kind", ["screen", "group", "alias"])
    @pytest.mark.parametrize(
        ("who", "ending"),
        [
            pytest.param({"userId": "customer-1042"}, "dropped:not_forwarded", id="of a customer"),
            pytest.param({"context": {"traits": {"email": EMAIL}}}, "dropped:not_forwarded", id="of an address"),
            pytest.param({"anonymousId": "browser-1"}, "dropped:no_identity", id="of nobody we could name"),
        ],
    )
    async def test_are_taken_and_written_down(self, intake: Harness, who: Raw, ending: str, kind: str) -> None:
        answer = await intake.post(f"/v1/{kind}", {"messageId": "m-1", "name": "Home", "previousId": "p-1", **who})
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert (intake.outbox.endings, intake.outbox.bodies) == ([ending], [])
        assert [(record["type"], record["decision"]) for record in intake.outbox.records] == [(kind, "drop")]

    async def test_a_groups_address_is_not_a_persons(self, intake: Harness) -> None:
        company = {"anonymousId": "browser-1", "groupId": "g-1", "traits": {"email": EMAIL}}
        assert (await intake.post("/v1/group", company)).status_code == 200
        assert intake.outbox.endings == ["dropped:no_identity"]


class TestWriteKeysOfOtherSenders:
    async def test_jitsu_names_its_key_in_a_header_and_masks_it_in_the_body(self, intake: Harness) -> None:
        masked = event("track", writeKey=f"{WRITE_KEY[:3]}:***")
        answer = await intake.post("/api/s/track", masked, key=None, headers={"x-write-key": WRITE_KEY})
        assert (answer.status_code, intake.outbox.destinations) == (200, ["acme"])

    async def test_rudderstacks_beacon_names_its_key_in_the_query(self, intake: Harness) -> None:
        beacon = f"/beacon/v1/batch?writeKey={WRITE_KEY}"
        text = {"content-type": "text/plain;charset=UTF-8"}
        answer = await intake.post(beacon, {"batch": [event("track", type="track")]}, key=None, headers=text)
        assert (answer.status_code, intake.outbox.destinations) == (200, ["acme"])
