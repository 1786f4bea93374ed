"""The documents that trackers fetch before their first event: each points back at the gateway that serves it."""

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from starlette.types import Message

from tests.fakes import ORIGIN, OTHER_KEY, WRITE_KEY, Harness, assert_refused, open_intake

SETTINGS: Final = (
    f"/v1/projects/{WRITE_KEY}/settings",
    f"/v1/projects/{WRITE_KEY}/settings/",
    f"/projects/{WRITE_KEY}/settings",
    f"/projects/{WRITE_KEY}/settings/",
)


@pytest.fixture
async def intake() -> AsyncIterator[Harness]:
    """The tracking routes before the gateway's own pages."""
    intake = open_intake()
    async with intake.http:
        yield intake


async def segment_io(intake: Harness, base_url: str, path: str = SETTINGS[0], **headers: str) -> dict[str, Any]:
    """What a library is told of where to post, when it asks at this address."""
    transport = httpx.ASGITransport(intake.app)
    async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers) as library:
        answer = await library.get(path)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["integrations"]["Segment.io"]
    return told


class TestTheSettings:
    @pytest.mark.parametrize("path", SETTINGS)
    async def test_name_the_key_that_was_asked_for(self, intake: Harness, path: str) -> None:
        told = await segment_io(intake, "https://events.shop.example", path)
        assert (told["apiKey"], told["apiHost"]) == (WRITE_KEY, "events.shop.example/v1")

    @pytest.mark.parametrize(
        ("base_url", "host", "protocol"),
        [
            pytest.param("https://events.shop.example", "events.shop.example/v1", "https", id="a host with TLS"),
            pytest.param("http://127.0.0.1:8080", "127.0.0.1:8080/v1", "http", id="an address with a port"),
            pytest.param("http://[::1]:8080", "[::1]:8080/v1", "http", id="an address of version 6"),
        ],
    )
    async def test_point_back_at_the_host_that_was_asked(
        self, intake: Harness, base_url: str, host: str, protocol: str
    ) -> None:
        told = await segment_io(intake, base_url)
        assert (told["apiHost"], told["protocol"]) == (host, protocol)

    async def test_believe_the_host_header_but_leave_the_scheme_to_the_server(self, intake: Harness) -> None:
        """uvicorn sets the scheme from X-Forwarded-Proto, for those proxies alone that it trusts."""
        told = await segment_io(intake, "http://10.0.0.7", host="events.shop.example", **{"x-forwarded-proto": "https"})
        assert (told["apiHost"], told["protocol"]) == ("events.shop.example/v1", "http")

    @pytest.mark.parametrize("host", ["[::1", "a b", "evil.example/x", "somebody@evil.example", "evil.example:port"])
    async def test_never_repeat_a_host_that_is_none(self, intake: Harness, host: str) -> None:
        told = await segment_io(intake, "http://gateway:8080", host=host)
        assert told["apiHost"] == "gateway:8080/v1"

    async def test_can_be_asked_for_with_any_query(self, intake: Harness) -> None:
        answered: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            answered.append(message)

        scope = {"type": "http", "method": "GET", "path": SETTINGS[0], "query_string": b"a=\xff", "headers": []}
        await intake.app(scope | {"scheme": "http", "server": ("gateway", 8080)}, receive, send)
        assert answered[0]["status"] == 200

    async def test_load_nothing_from_elsewhere(self, intake: Harness) -> None:
        document = (await intake.http.get(SETTINGS[0])).json()
        assert document["remotePlugins"] == []
        assert list(document["integrations"]) == ["Segment.io"]
        assert "segment" not in str(document).lower().replace("segment.io", "")

    async def test_let_every_event_through(self, intake: Harness) -> None:
        plan = (await intake.http.get(SETTINGS[0])).json()["plan"]
        assert [rules["__default"]["enabled"] for rules in plan.values()] == [True, True, True]

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/v1/projects/nobody/settings", id="an unknown key"),
            pytest.param("/projects/nobody/settings", id="an unknown key, without the version"),
            pytest.param(f"/v1/projects/{WRITE_KEY.upper()}/settings", id="a key in other letters"),
            pytest.param(f"/v1/projects/{WRITE_KEY}%20/settings", id="a key and a blank"),
        ],
    )
    async def test_of_nobody_are_refused_as_everything_is(self, intake: Harness, path: str) -> None:
        answer = await intake.http.get(path)
        assert_refused(answer, 404, "unknown_source")
        assert answer.headers["access-control-allow-origin"] == ORIGIN

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param(f"/v1/projects/{WRITE_KEY}", id="half a path"),
            pytest.param("/v1/projects//settings", id="no key"),
            pytest.param("/v1/projects/a%2Fb/settings", id="a slash in the key"),
        ],
    )
    async def test_are_at_no_other_path(self, intake: Harness, path: str) -> None:
        assert_refused(await intake.http.get(path), 404, "not_found")

    @pytest.mark.parametrize("path", [*SETTINGS, "/sourceConfig", "/sourceConfig/"])
    async def test_are_read_and_not_written(self, intake: Harness, path: str) -> None:
        assert_refused(await intake.http.post(path), 405, "method_not_allowed")


class TestTheSourceConfiguration:
    @pytest.mark.parametrize("path", ["/sourceConfig", "/sourceConfig/"])
    @pytest.mark.parametrize(
        ("query", "options"),
        [
            pytest.param("?p=npm&v=3.34.1&writeKey=" + OTHER_KEY, {}, id="in the query"),
            pytest.param("?p=npm", {"auth": (OTHER_KEY, "")}, id="as the Basic user name"),
            pytest.param("?writeKey=nobody", {"auth": (OTHER_KEY, "")}, id="as the user name rather than in the query"),
            pytest.param("", {"headers": {"x-write-key": OTHER_KEY}}, id="in a header"),
        ],
    )
    async def test_is_of_the_source_whose_key_is(self, intake: Harness, path: str, query: str, options: Any) -> None:
        answer = await intake.http.get(path + query, **options)
        assert answer.status_code == 200
        source = answer.json()["source"]
        assert (source["writeKey"], source["enabled"]) == (OTHER_KEY, True)

    async def test_sends_nothing_from_the_device_to_others(self, intake: Harness) -> None:
        source = (await intake.http.get("/sourceConfig", auth=(WRITE_KEY, ""))).json()["source"]
        assert (source["destinations"], source["connections"]) == ([], [])
        assert source["config"]["statsCollection"] == {"errors": {"enabled": False}, "metrics": {"enabled": False}}

    @pytest.mark.parametrize(
        ("query", "auth"),
        [
            pytest.param("", None, id="no key"),
            pytest.param("?writeKey=nobody", None, id="an unknown key in the query"),
            pytest.param(f"?writeKey={WRITE_KEY}", ("nobody", ""), id="an unknown user name, which wins"),
            pytest.param("?writeKey=%FF", None, id="a key that is no text"),
        ],
    )
    async def test_of_nobody_is_refused_as_everything_is(
        self, intake: Harness, query: str, auth: tuple[str, str] | None
    ) -> None:
        assert_refused(await intake.http.get("/sourceConfig" + query, auth=auth), 404, "unknown_source")


@pytest.mark.parametrize("path", [SETTINGS[0], f"/sourceConfig?writeKey={WRITE_KEY}"])
async def test_a_document_may_be_kept_for_minutes_but_not_for_days(intake: Harness, path: str) -> None:
    kept = (await intake.http.get(path)).headers["cache-control"]
    assert kept == "public, max-age=300"
