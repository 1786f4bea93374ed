"""Cross-origin requests: which pages may post, and that a browser can read every answer we give."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
from fastapi import FastAPI

from app.delivery.pressure import BacklogSize, Pressure
from app.ingest.admission import Admission, Ceilings
from app.ingest.auth import Sender
from app.ingest.origins import Origins
from app.ingest.paths import BY_PATH
from app.pipeline import Plan
from tests.builders import track
from tests.fakes import ORIGIN, OTHER_KEY, UNBOUNDED, WRITE_KEY, Harness, open_intake

OTHER_ORIGIN: Final = "https://app.example"
SETTINGS: Final = f"/v1/projects/{WRITE_KEY}/settings"
PAGES: Final = (SETTINGS, "/projects/nobody/settings", "/sourceConfig/", "/healthz", "/metrics", "/v1/nothing", "/")

SHOP: Final = "https://shop.example"
ANY_SUBDOMAIN: Final = "https://*.shop.example"


@pytest.mark.parametrize(
    ("allowed", "origin", "verdict"),
    [
        pytest.param([SHOP], SHOP, True, id="the very origin"),
        pytest.param([SHOP], "HTTPS://Shop.Example", True, id="the same in other letters"),
        pytest.param([SHOP], "http://shop.example", False, id="not the same without TLS"),
        pytest.param([SHOP], "https://www.shop.example", False, id="not a subdomain of an exact one"),
        pytest.param([SHOP], "https://shop.example:8443", False, id="not another port"),
        pytest.param([f"{SHOP}:8443"], f"{SHOP}:8443", True, id="a port that is named"),
        pytest.param([f"{SHOP}:8443"], SHOP, False, id="not without the port that is named"),
        pytest.param([SHOP], "https://shopXexample", False, id="a dot is a dot"),
        pytest.param([SHOP], "https://evilshop.example", False, id="not a longer name"),
        pytest.param([SHOP], "https://shop.example.evil.example", False, id="not a name that begins like it"),
        pytest.param([ANY_SUBDOMAIN], "https://www.shop.example", True, id="a subdomain"),
        pytest.param([ANY_SUBDOMAIN], "https://a.b.shop.example", True, id="a subdomain of a subdomain"),
        pytest.param([ANY_SUBDOMAIN], SHOP, False, id="subdomains are not the domain"),
        pytest.param([ANY_SUBDOMAIN], "https://.shop.example", False, id="nothing is no subdomain"),
        pytest.param([ANY_SUBDOMAIN], "https://evilshop.example", False, id="a longer name is no subdomain"),
        pytest.param([ANY_SUBDOMAIN], "https://shop.example.evil.example", False, id="nor is a name that begins so"),
        pytest.param([ANY_SUBDOMAIN], "https://www.shop.example.evil.example", False, id="nor a subdomain in a name"),
        pytest.param([ANY_SUBDOMAIN], "https://evil.example/.shop.example", False, id="nor a path that ends like it"),
        pytest.param([ANY_SUBDOMAIN], "https://evil.example:1.shop.example", False, id="nor a port that ends like it"),
        pytest.param([ANY_SUBDOMAIN], "http://www.shop.example", False, id="nor one without TLS"),
        pytest.param([ANY_SUBDOMAIN], "https://www.shop.example:8443", False, id="nor one with a port"),
        pytest.param([f"{ANY_SUBDOMAIN}:8443"], "https://www.shop.example:8443", True, id="unless the port is named"),
        pytest.param([SHOP, ANY_SUBDOMAIN], SHOP, True, id="the first of two"),
        pytest.param([SHOP, ANY_SUBDOMAIN], "https://www.shop.example", True, id="the second of two"),
        pytest.param([SHOP, ANY_SUBDOMAIN], "https://shop.example|", False, id="neither of two"),
        pytest.param(["*"], "https://anything.example:1", True, id="all are allowed"),
        pytest.param(["*"], "null", True, id="a page without an origin, where all are"),
        pytest.param([SHOP, ANY_SUBDOMAIN], "null", False, id="not a page without an origin, where some are"),
        pytest.param([], SHOP, False, id="none are allowed"),
        pytest.param([], "", False, id="nothing, where none are"),
    ],
)
def test_a_page_may_post(allowed: list[str], origin: str, verdict: bool) -> None:
    assert Origins(allowed).allow(origin) is verdict


SENDERS: Final = {
    WRITE_KEY: Sender("shop", "acme", Plan(), origins=Origins([SHOP])),
    OTHER_KEY: Sender("app", "other", Plan(), origins=Origins([OTHER_ORIGIN])),
}


def with_a_page_that_fails(api: FastAPI) -> None:
    @api.get("/fails")
    async def fails() -> None:
        raise LookupError


@pytest.fixture
async def intake() -> AsyncIterator[Harness]:
    """Two sources, each with pages of its own."""
    full = Pressure(memory_share=0.0, backlog={"other": BacklogSize(10, 10)})
    admission = Admission(Ceilings(backlog_events=10, backlog_bytes=10**9, memory_share=1), lambda: full)
    intake = open_intake(
        senders=SENDERS, origins=[SHOP, OTHER_ORIGIN], extend=with_a_page_that_fails, admission=admission
    )
    async with intake.http:
        yield intake


def without_origin(intake: Harness, method: str, path: str, **options: object) -> httpx.Request:
    request = intake.http.build_request(method, path, **options)  # type: ignore[arg-type]
    del request.headers["origin"]
    return request


class TestAPreflight:
    @pytest.mark.parametrize("path", [*BY_PATH, *PAGES])
    async def test_is_answered_without_a_write_key(self, intake: Harness, path: str) -> None:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await intake.http.options(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert {"POST", "GET"} <= set(answer.headers["access-control-allow-methods"].split(", "))

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param("authorization,x-retry-count", id="analytics.js"),
            pytest.param("authorization,content-type,anonymousid,sentat,rsa-retry-attempt", id="RudderStack"),
            pytest.param("content-type,x-write-key,x-enable-debug,x-ip-policy", id="Jitsu"),
            pytest.param("x-of-somebodys-proxy", id="somebody unknown"),
        ],
    )
    async def test_allows_the_headers_that_are_asked_for_by(self, intake: Harness, asked: str) -> None:
        answer = await intake.http.options("/v1/t", headers={"access-control-request-headers": asked})
        allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert set(asked.split(",")) <= set(allowed)
        assert "authorization" in allowed
        assert "*" not in allowed, "it would not cover Authorization"

    async def test_of_a_strange_page_allows_nothing(self, intake: Harness) -> None:
        answer = await intake.http.options("/v1/t", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"

    async def test_is_not_every_options_request(self, intake: Harness) -> None:
        answer = await intake.http.send(without_origin(intake, "OPTIONS", "/v1/track"))
        assert (answer.status_code, answer.headers["allow"]) == (200, "POST, OPTIONS")
        assert answer.json() == {"success": True}


ANSWERS: Final = [
    pytest.param("POST", "/v1/track", WRITE_KEY, None, 200, id="an event that is kept"),
    pytest.param("POST", "/v1/m", None, None, 200, id="counters that are thrown away"),
    pytest.param("GET", SETTINGS, None, None, 200, id="a settings document"),
    pytest.param("POST", "/v1/batch", WRITE_KEY, b"[]", 400, id="a batch without events"),
    pytest.param("POST", "/v1/track", WRITE_KEY, b"x" * 1_100_000, 400, id="a body that is too large"),
    pytest.param("POST", "/v1/track", "nobody", None, 401, id="an unknown key"),
    pytest.param("POST", "/v1/nothing", WRITE_KEY, None, 404, id="an unknown path"),
    pytest.param("GET", "/v1/projects/nobody/settings", None, None, 404, id="the settings of nobody"),
    pytest.param("GET", "/v1/track", None, None, 405, id="a tracking path that is read"),
    pytest.param("POST", "/healthz", None, None, 405, id="a page that is posted to"),
]


def assert_a_browser_can_read(answer: httpx.Response, origin: str = ORIGIN) -> None:
    """Credentials too, which needs the origin itself instead of "*", and a note for caches that it does."""
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert answer.headers["vary"] == "Origin"


class TestAnAnswer:
    @pytest.mark.parametrize(("method", "path", "key", "body", "status"), ANSWERS)
    async def test_can_be_read_by_a_browser(
        self, intake: Harness, method: str, path: str, key: str | None, body: bytes | None, status: int
    ) -> None:
        auth = (key, "") if key else None
        answer = await intake.http.request(method, path, auth=auth, content=body, json=None if body else track("x"))
        assert answer.status_code == status
        assert_a_browser_can_read(answer)

    @pytest.mark.parametrize(("method", "path", "key", "body", "status"), ANSWERS)
    async def test_says_nothing_of_it_where_no_browser_asked(
        self, intake: Harness, method: str, path: str, key: str | None, body: bytes | None, status: int
    ) -> None:
        content = {"content": body} if body is not None else {"json": track("x")}
        answer = await intake.http.send(
            without_origin(intake, method, path, **content), auth=(key, "") if key else None
        )
        assert answer.status_code == status
        assert [name for name in answer.headers if name.startswith("access-control")] == []

    async def test_of_a_document_is_not_kept_for_browsers_by_a_cache_that_got_it_for_others(
        self, intake: Harness
    ) -> None:
        answer = await intake.http.send(without_origin(intake, "GET", SETTINGS))
        assert "public" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "Origin"

    async def test_that_puts_a_browser_off_tells_it_for_how_long(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", track("x"), key=OTHER_KEY, headers={"origin": OTHER_ORIGIN})
        assert (answer.status_code, answer.json()["code"]) == (429, "backlog_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert_a_browser_can_read(answer, OTHER_ORIGIN)

    async def test_while_redis_is_away_can_be_read_too(self, intake: Harness) -> None:
        intake.outbox.away = "redis_unreachable"
        answer = await intake.post("/v1/track", track("x"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert_a_browser_can_read(answer)

    async def test_after_a_bug_of_ours_can_be_read_too(self, intake: Harness) -> None:
        intake.outbox.bug = LookupError()
        answer = await intake.post("/v1/track", track("x"))
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert_a_browser_can_read(answer)

    async def test_after_a_bug_in_a_page_can_be_read_too(self, intake: Harness) -> None:
        transport = httpx.ASGITransport(intake.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as browser:
            answer = await browser.get("/fails", headers={"origin": ORIGIN})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert_a_browser_can_read(answer)

    async def test_to_a_strange_page_cannot_be_read_and_takes_no_event(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", track("x"), headers={"origin": "https://evilshop.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"
        assert intake.outbox.arrivals == []


class TestPagesOfOneSource:
    async def test_may_not_post_for_another(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", track("x"), key=WRITE_KEY, headers={"origin": OTHER_ORIGIN})
        assert answer.status_code == 403
        assert (answer.json()["code"], answer.json()["field"]) == ("origin_not_allowed", "Origin")
        assert_a_browser_can_read(answer, OTHER_ORIGIN)
        assert intake.outbox.arrivals == []
        assert intake.count("gateway_refused_total", code="origin_not_allowed") == 1

    async def test_do_not_concern_servers(self, intake: Harness) -> None:
        request = without_origin(intake, "POST", "/v1/track", json=track("x"))
        assert (await intake.http.send(request, auth=(WRITE_KEY, ""))).status_code == 200

    @pytest.mark.parametrize("origin", [pytest.param("null", id="no origin"), pytest.param("https://x.y", id="any")])
    async def test_are_all_pages_where_nothing_is_said(self, origin: str) -> None:
        intake = open_intake(admission=Admission(UNBOUNDED, Pressure))
        async with intake.http:
            answer = await intake.post("/v1/track", track("x"), headers={"origin": origin})
        assert answer.status_code == 200
        assert_a_browser_can_read(answer, origin)
