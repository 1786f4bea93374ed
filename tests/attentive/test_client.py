"""The client against a real server on this machine: its requests, and the result of each kind of failure."""

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import ANSWER_BYTES, LONGEST_RETRY_AFTER
from app.attentive.client import parse_retry_after as parse
from app.attentive.endpoints import CUSTOM_EVENT
from tests.attentive.garbage import CALLS
from tests.attentive.servers import BODY, IMPATIENT, client_of, hang, says, send, send_to, serving, writes_and_cuts
from tests.certificates import needs_openssl, self_signed
from tests.forking import run_forked
from tests.waiting import patient


@pytest.mark.parametrize(
    ("contact", "value", "query"),
    [
        pytest.param("phone", "+14155550132", "phone=%2B14155550132", id="a plus in a query is a blank unless encoded"),
        pytest.param("email", "a+b&c@example.com", "email=a%2Bb%26c@example.com", id="an address with anything in it"),
    ],
)
async def test_a_contact_is_asked_about_exactly(contact: str, value: str, query: str) -> None:
    async with serving(says("200 OK", b"{}")) as server, client_of(server.url) as client:
        reply = await client.subscriptions(contact, value)
        assert isinstance(reply, Reply)
        assert server.requests[0].startswith(f"GET /v1/subscriptions?{query} HTTP/1.1")


class TestAnAnswer:
    async def test_is_a_reply_with_its_status_and_body(self) -> None:
        reply = await send(says("200 OK", b'{"ok":true}'))
        assert isinstance(reply, Reply)
        assert (reply.status, reply.body, reply.retry_after) == (200, b'{"ok":true}', None)
        assert reply.took > timedelta()

    async def test_brings_the_limits_it_names(self) -> None:
        headers = ("x-ratelimit-limit: 150", "x-ratelimit-remaining: 12", "Retry-After: 7")
        reply = await send(says("503 Service Unavailable", b"", *headers))
        assert isinstance(reply, Reply)
        assert (reply.status, reply.limit, reply.remaining) == (503, 150, 12)
        assert reply.retry_after == timedelta(seconds=7)

    @pytest.mark.parametrize(
        "nonsense",
        ["", "many", "-1", "nan", "inf", "1e-9", "1e-300", "1e3", "0x10", "1_000", "\xb2", "9" * 400, "1" * 5000],
    )
    async def test_with_nonsense_for_limits_names_none(self, nonsense: str) -> None:
        headers = (f"x-ratelimit-limit: {nonsense}", f"x-ratelimit-remaining: {nonsense}", f"Retry-After: {nonsense}")
        reply = await send(says("429 Too Many Requests", b"", *headers))
        assert isinstance(reply, Reply)
        assert (reply.limit, reply.remaining, reply.retry_after) == (None, None, None)

    @pytest.mark.parametrize(
        ("limit", "read"),
        [("0", None), ("0.001", None), ("0.99", None), ("1", 1), ("2.5", 2.5), ("10000", 10_000), ("10001", None)],
    )
    async def test_with_an_implausible_limit_names_none(self, limit: str, read: float | None) -> None:
        reply = await send(says("200 OK", b"", f"x-ratelimit-limit: {limit}"))
        assert isinstance(reply, Reply)
        assert reply.limit == read

    async def test_is_cut_at_64_kilobytes(self) -> None:
        reply = await send(says("400 Bad Request", b"x" * (ANSWER_BYTES * 4)))
        assert isinstance(reply, Reply)
        assert reply.body == b"x" * 65_536

    async def test_without_end_is_cut_as_well(self) -> None:
        async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                await writer.drain()

        reply = await send(babble)
        assert isinstance(reply, Reply)
        assert (reply.status, len(reply.body)) == (200, ANSWER_BYTES)

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
    async def test_that_is_a_redirect_is_not_followed(self, status: str) -> None:
        """The bearer key must not travel to where an answer points."""
        async with serving(says("200 OK")) as elsewhere:
            reply = await send(says(status, b"", f"Location: {elsewhere.url}/v1/events/custom"))
        assert isinstance(reply, Reply)
        assert reply.status == int(status[:3])
        assert elsewhere.requests == []

    def test_leaves_nothing_for_the_garbage_collector(self) -> None:
        """Else it has work after some thousand calls, and all lanes stand still meanwhile.

        A process of its own makes the calls: in this one, other threads and other tests leave garbage too.
        """
        made = run_forked("tests.attentive.garbage:main", (), environment=os.environ, timeout=patient(30))
        assert made.returncode == 0, made.stderr
        assert int(made.stdout) < CALLS, "objects in cycles: not one a call"

    async def test_shows_nobody_when_printed(self) -> None:
        assert "ada@example.com" not in repr(await send(says("400 Bad Request", b"ada@example.com is bad")))


class TestARequest:
    async def test_carries_the_token_and_the_body_as_it_is(self) -> None:
        async with serving(says("200 OK")) as server, client_of(server.url + "/") as client:
            await client.send(CUSTOM_EVENT, BODY)
        (request,) = server.requests
        head, _, body = request.partition("\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
        assert head.startswith("POST /v1/events/custom HTTP/1.1\r\n")
        assert body == BODY.decode()
        assert headers["authorization"] == "bearer secret-token"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "attentive-gateway/test"

    async def test_without_a_body_states_the_length_of_none(self) -> None:
        async with serving(says("200 OK", b"{}")) as server, client_of(server.url) as client:
            await client.who_am_i()
            await client.send(CUSTOM_EVENT, b"")
        asked, sent = server.requests
        assert "content-length" not in asked.lower()
        assert sent.lower().count("content-length: 0\r\n") == 1

    async def test_brings_back_no_cookie(self) -> None:
        """One that stuck to a connection pool would tie all shoppers to one session of some load balancer."""
        answer = says("200 OK", b"", "Set-Cookie: session=1; Path=/", "Set-Cookie: lb=2")
        async with serving(answer) as server, client_of(server.url) as client:
            await client.send(CUSTOM_EVENT, BODY)
            await client.send(CUSTOM_EVENT, BODY)
        assert len(server.requests) == 2
        assert not [request for request in server.requests if "cookie" in request.lower()]

    async def test_goes_past_the_proxies_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert isinstance(await send(says("200 OK")), Reply)


class TestAFailure:
    async def test_to_connect_is_not_ambiguous(self) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
            reply = await send_to(f"http://127.0.0.1:{port}")
        assert isinstance(reply, Unreachable)
        assert (reply.reason, reply.ambiguous) == ("could not connect", False)

    async def test_to_find_the_host_is_not_ambiguous(self) -> None:
        reply = await send_to("http://nowhere.invalid")
        assert isinstance(reply, Unreachable)
        assert reply.ambiguous is False

    async def test_to_agree_on_tls_is_not_ambiguous(self) -> None:
        async with serving(says("200 OK")) as server:
            secure = server.url.replace("http:", "https:")
            reply = await send_to(secure, timeouts=IMPATIENT)
        assert isinstance(reply, Unreachable)
        assert reply.ambiguous is False

    @needs_openssl
    async def test_to_prove_who_it_is_gets_no_request(self, tmp_path: Path) -> None:
        async with serving(says("200 OK"), self_signed(tmp_path)) as server:
            reply = await send_to(server.url.replace("http:", "https:"))
        assert isinstance(reply, Unreachable)
        assert (reply.reason, reply.ambiguous) == ("could not connect", False)
        assert server.requests == []

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(b"", id="before the answer"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="within the head"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="within the body"),
            pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="with an answer that is no HTTP"),
        ],
    )
    async def test_after_the_request_is_ambiguous(self, raw: bytes) -> None:
        reply = await send(writes_and_cuts(raw))
        assert isinstance(reply, Unreachable)
        assert reply.ambiguous is True
        assert reply.reason

    async def test_to_answer_in_time_is_ambiguous(self) -> None:
        reply = await send(hang, timeouts=IMPATIENT)
        assert isinstance(reply, Unreachable)
        assert reply.ambiguous is True
        assert reply.took > timedelta(seconds=0.1)

    @pytest.mark.parametrize(
        "beginning",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", id="within the body"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX-Endless: ", id="within the head"),
        ],
    )
    async def test_to_come_to_an_end_in_time_is_ambiguous(self, beginning: bytes) -> None:
        """Byte after byte comes, each in time; the whole never does."""

        async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(beginning)
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

        reply = await send(drip, timeouts=IMPATIENT)
        assert isinstance(reply, Unreachable)
        assert reply.ambiguous is True


NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0", 0.0, id="no second"),
        pytest.param("1.5", 1.5, id="a second and a half"),
        pytest.param(" 7 ", 7.0, id="seconds with blanks around them"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 GMT", 30.0, id="a date"),
        pytest.param("Sun, 01 Mar 2026 11:00:00 GMT", 0.0, id="a date that is past"),
        pytest.param("999999999999", LONGEST_RETRY_AFTER.total_seconds(), id="years of seconds"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER.total_seconds(), id="a date in years"),
    ],
)
def test_the_wait_they_ask_for_is_understood(header: str, expected: float) -> None:
    assert parse(header, now=NOW) == timedelta(seconds=expected)


@pytest.mark.parametrize(
    "header",
    [None, "", " ", "soon", "-5", "inf", "nan", "1e400", "2026-03-01", "Sun, 01 Mar 2026 12:00:30 -0000", "٣ s", "1e-9"]
    + [f"Sun, 01 Mar {'9' * digits} 12:00:30 GMT" for digits in (5, 8, 11, 400)],
)
def test_the_wait_they_ask_for_is_ignored_where_it_is_nonsense(header: str | None) -> None:
    assert parse(header, now=NOW) is None
