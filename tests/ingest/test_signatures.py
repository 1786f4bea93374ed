"""Webhooks that prove who sent them: what counts as proof, and what becomes of a post without it.

The signatures are made here from the senders' documents, not with our own code.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from app.ingest.auth import Sender
from app.ingest.signatures import Scheme, Signing, signed_by_segment
from app.pipeline import Plan
from tests.builders import Raw, track
from tests.fakes import Harness, assert_refused, open_intake

SECRET: Final = "shared-with-segment"
NEW_SECRET: Final = "its-successor"
KEY: Final = b"0123456789abcdef01234567"
NEW_KEY: Final = b"abcdef0123456789abcdef01"
Headers = dict[bytes, bytes]


def whsec(key: bytes) -> str:
    """How senders show the secret of a Standard Webhooks key."""
    return "whsec_" + base64.b64encode(key).decode()


def by_segment(signed: bytes, secret: str = SECRET) -> Headers:
    return {b"x-signature": hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest().encode()}


def standard_signature(body: bytes, key: bytes, message_id: str, timestamp: str) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True)
class ByStandard:
    """What a Standard Webhooks sender puts in front of a body. Made when it is asked for, because it ages."""

    body: bytes
    key: bytes = KEY
    age_s: float = 0
    prefix: str = "webhook"
    signature: str | None = None  # instead of its own
    timestamp: bytes | None = None  # instead of the one that is signed
    without: str = ""

    def headers(self) -> Headers:
        timestamp = str(int(time.time() - self.age_s))
        values = {"id": b"msg_1", "timestamp": self.timestamp or timestamp.encode()}
        signature = self.signature or standard_signature(self.body, self.key, "msg_1", timestamp)
        values["signature"] = signature.encode()
        return {f"{self.prefix}-{name}".encode(): value for name, value in values.items() if name != self.without}


def headers_of(given: Headers | ByStandard) -> Headers:
    return given.headers() if isinstance(given, ByStandard) else given


SEGMENT: Final = Signing(Scheme.SEGMENT, (SECRET,))
STANDARD: Final = Signing(Scheme.STANDARD_WEBHOOKS, (whsec(KEY),))
BEARER: Final = Signing(Scheme.BEARER, ("tk_1",))
HEADER: Final = Signing(Scheme.HEADER, ("tk_1",), "X-Hook-Token")


class TestWhatSegmentSigns:
    @pytest.mark.parametrize(
        ("body", "signed"),
        [
            pytest.param('{"a": 1}', '{"a": 1}', id="a single event, all of it"),
            pytest.param(' {"a": [1]}\n', ' {"a": [1]}\n', id="a single event, with the blanks around it"),
            pytest.param('[{"a":1},{"b":2}]', '{"a":1}', id="a list, its first element alone"),
            pytest.param('[{"a":1}]', '{"a":1}', id="a list of one"),
            pytest.param('\n[ \t\r\n{ "a" : 1 } , {"b":2} ]', '{ "a" : 1 }', id="a list, with the blanks inside alone"),
            pytest.param('[{"b":1.50,"a":1e3}]', '{"b":1.50,"a":1e3}', id="a list, numbers and order as written"),
            pytest.param('[{"a":"é ü 🎿"},{}]', '{"a":"é ü 🎿"}', id="a list, letters as written"),
            pytest.param('[{"a":"\\u00e9\\/"},{}]', '{"a":"\\u00e9\\/"}', id="a list, escapes as written"),
            pytest.param('[{"a":"]},{"},{}]', '{"a":"]},{"}', id="a list, with brackets in a text"),
            pytest.param('[{"a":[[{}]]},{}]', '{"a":[[{}]]}', id="a list, with lists inside"),
            pytest.param("[]", "[]", id="an empty list, all of it"),
            pytest.param("[nonsense", "[nonsense", id="what cannot be read, all of it"),
        ],
    )
    def test_is(self, body: str, signed: str) -> None:
        assert signed_by_segment(body.encode()) == signed.encode()

    @pytest.mark.parametrize(
        "body",
        [pytest.param(b'["\xff"]', id="bytes that are no text"), pytest.param(b"[" * 100_000, id="endless lists")],
    )
    def test_is_the_body_where_it_holds(self, body: bytes) -> None:
        assert signed_by_segment(body) == body


ONE: Final = '{"type":"track","event":"Größe 🎿"}'.encode()
MANY: Final = b'[ {"type": "page"},\n{"type":"track"} ]'


@pytest.mark.parametrize(
    ("signing", "headers", "body"),
    [
        pytest.param(SEGMENT, by_segment(ONE), ONE, id="Segment, a single event"),
        pytest.param(SEGMENT, by_segment(b'{"type": "page"}'), MANY, id="Segment, a list by its first element"),
        pytest.param(
            SEGMENT, {b"x-signature": by_segment(ONE)[b"x-signature"].upper()}, ONE, id="Segment, in capitals"
        ),
        pytest.param(STANDARD, ByStandard(ONE), ONE, id="Standard Webhooks"),
        pytest.param(STANDARD, ByStandard(ONE, prefix="svix"), ONE, id="Svix by its old names"),
        pytest.param(STANDARD, ByStandard(ONE, age_s=290), ONE, id="Standard Webhooks, nearly five minutes old"),
        pytest.param(STANDARD, ByStandard(ONE, age_s=-290), ONE, id="Standard Webhooks, from a fast clock"),
        pytest.param(STANDARD, ByStandard(b"\xef\xbb\xbf" + ONE), b"\xef\xbb\xbf" + ONE, id="a byte order mark"),
        pytest.param(STANDARD, ByStandard(b'{"a":NaN}'), b'{"a":NaN}', id="a body that is not quite JSON"),
        pytest.param(
            Signing(Scheme.STANDARD_WEBHOOKS, (whsec(KEY).rstrip("="),)), ByStandard(ONE), ONE, id="without padding"
        ),
        pytest.param(
            Signing(Scheme.STANDARD_WEBHOOKS, (whsec(KEY).removeprefix("whsec_"),)),
            ByStandard(ONE),
            ONE,
            id="a secret without its prefix",
        ),
        pytest.param(BEARER, {b"authorization": b"Bearer tk_1"}, ONE, id="a bearer token"),
        pytest.param(HEADER, {b"x-hook-token": b" tk_1 "}, ONE, id="a header of the operator's choice"),
    ],
)
def test_a_sender_proves_itself_by(signing: Signing, headers: Headers | ByStandard, body: bytes) -> None:
    assert signing.verified(headers_of(headers), body)


def test_the_signatures_made_here_are_those_of_the_reference_libraries() -> None:
    made = standard_signature(b'{"x":1}', KEY, "msg_1", "1674087231")
    assert made == "v1,i+ecb50IRGURxynw192iVmJ+KGE2F8/UNJ44Esc6jzk="


@pytest.mark.parametrize(
    ("signing", "headers", "body"),
    [
        pytest.param(SEGMENT, {}, ONE, id="Segment, nothing"),
        pytest.param(SEGMENT, {b"x-signature": b""}, ONE, id="Segment, an empty signature"),
        pytest.param(SEGMENT, {b"x-signature": b"\xff\xfe"}, ONE, id="Segment, garbage"),
        pytest.param(SEGMENT, by_segment(ONE, "guessed"), ONE, id="Segment, another secret"),
        pytest.param(SEGMENT, by_segment(ONE), ONE + b" ", id="Segment, one blank more"),
        pytest.param(SEGMENT, by_segment(MANY), MANY, id="Segment, a list signed as a whole"),
        pytest.param(SEGMENT, by_segment(b'{"type":"page"}'), MANY, id="Segment, an element written anew"),
        pytest.param(STANDARD, {}, ONE, id="Standard Webhooks, nothing"),
        *(
            pytest.param(STANDARD, ByStandard(ONE, without=name), ONE, id=f"Standard Webhooks, no {name}")
            for name in ("id", "timestamp", "signature")
        ),
        pytest.param(STANDARD, ByStandard(ONE, NEW_KEY), ONE, id="Standard Webhooks, another key"),
        pytest.param(STANDARD, ByStandard(ONE), ONE + b" ", id="Standard Webhooks, one blank more"),
        pytest.param(STANDARD, ByStandard(ONE, age_s=310), ONE, id="Standard Webhooks, over five minutes old"),
        pytest.param(STANDARD, ByStandard(ONE, age_s=-310), ONE, id="Standard Webhooks, over five minutes ahead"),
        *(
            pytest.param(STANDARD, ByStandard(ONE, signature=text), ONE, id=f"Standard Webhooks, {what}")
            for text, what in (
                (" ", "a blank signature"),
                ("v1", "a version alone"),
                ("v1,", "an empty signature"),
                ("v1,%%%", "a signature that is no base64"),
                ("v1,a,b", "a signature of three parts"),
                ("v1a,i+ecb50IRGURxynw192iVg==", "another version alone"),
                ("i+ecb50IRGURxynw192iVg==", "no version"),
            )
        ),
        *(
            pytest.param(STANDARD, ByStandard(ONE, timestamp=text), ONE, id=f"Standard Webhooks, {what}")
            for text, what in (
                (b"today", "a time in words"),
                (b"nan", "a time that is no number"),
                (b"1e99", "a time after all times"),
                (b"-1", "a time before 1970"),
            )
        ),
        pytest.param(STANDARD, ByStandard(b"\xff"), b"\xff", id="Standard Webhooks, no text"),
        pytest.param(
            Signing(Scheme.STANDARD_WEBHOOKS, ("whsec_",)), ByStandard(ONE, b""), ONE, id="a secret of nothing"
        ),
        pytest.param(
            Signing(Scheme.STANDARD_WEBHOOKS, ("whsec_é%",)), ByStandard(ONE), ONE, id="a secret that is none"
        ),
        pytest.param(BEARER, {}, ONE, id="a bearer token, missing"),
        pytest.param(BEARER, {b"authorization": b"Bearer tk_2"}, ONE, id="a bearer token, another"),
        pytest.param(BEARER, {b"authorization": b"Bearer tk_1x"}, ONE, id="a bearer token, longer"),
        pytest.param(BEARER, {b"authorization": b"tk_1"}, ONE, id="a bearer token, bare"),
        pytest.param(BEARER, {b"authorization": b"Basic dGtfMTo="}, ONE, id="a bearer token, in Basic"),
        pytest.param(HEADER, {}, ONE, id="a header, missing"),
        pytest.param(HEADER, {b"x-hook-token": b"tk_2"}, ONE, id="a header, another secret"),
        pytest.param(HEADER, {b"x-hook-token": b"\xff\xfe"}, ONE, id="a header, garbage"),
        pytest.param(HEADER, {b"authorization": b"Bearer tk_1"}, ONE, id="a header, the secret elsewhere"),
    ],
)
def test_it_does_not_by(signing: Signing, headers: Headers | ByStandard, body: bytes) -> None:
    assert not signing.verified(headers_of(headers), body)


def test_the_reference_libraries_example_is_too_old_by_now() -> None:
    body, signature = b'{"x":1}', "v1,i+ecb50IRGURxynw192iVmJ+KGE2F8/UNJ44Esc6jzk="
    assert not STANDARD.verified(ByStandard(body, signature=signature, timestamp=b"1674087231").headers(), body)


class TestWhileSecretsAreChanged:
    @pytest.mark.parametrize(
        ("signing", "old", "new"),
        [
            pytest.param(
                Signing(Scheme.SEGMENT, (SECRET, NEW_SECRET)),
                by_segment(ONE, SECRET),
                by_segment(ONE, NEW_SECRET),
                id="Segment",
            ),
            pytest.param(
                Signing(Scheme.STANDARD_WEBHOOKS, (whsec(KEY), whsec(NEW_KEY))),
                ByStandard(ONE, KEY),
                ByStandard(ONE, NEW_KEY),
                id="Standard Webhooks",
            ),
            pytest.param(
                Signing(Scheme.BEARER, ("tk_1", "tk_2")),
                {b"authorization": b"Bearer tk_1"},
                {b"authorization": b"Bearer tk_2"},
                id="a bearer token",
            ),
            pytest.param(
                Signing(Scheme.HEADER, ("tk_1", "tk_2"), "x-hook-token"),
                {b"x-hook-token": b"tk_1"},
                {b"x-hook-token": b"tk_2"},
                id="a header",
            ),
        ],
    )
    def test_either_will_do(self, signing: Signing, old: Headers | ByStandard, new: Headers | ByStandard) -> None:
        assert signing.verified(headers_of(old), ONE)
        assert signing.verified(headers_of(new), ONE)

    @pytest.mark.parametrize(
        "pattern",
        [
            pytest.param("{new} {old}", id="the old one last"),
            pytest.param("{old} {new}", id="the old one first"),
            pytest.param("v1a,AAAA  {old}", id="after one of another version and two blanks"),
            pytest.param("what? {old}", id="after something that is none"),
        ],
    )
    def test_a_sender_may_sign_with_both(self, pattern: str) -> None:
        old, new = (ByStandard(ONE, key).headers()[b"webhook-signature"].decode() for key in (KEY, NEW_KEY))
        both = ByStandard(ONE, signature=pattern.format(old=old, new=new))
        assert STANDARD.verified(both.headers(), ONE)


SENDERS: Final = {
    "wk_segment": Sender("segment", "acme", Plan(), signing=SEGMENT),
    "wk_standard": Sender("standard", "acme", Plan(), signing=STANDARD),
    "wk_bearer": Sender("bearer", "acme", Plan(), signing=BEARER),
    "wk_open": Sender("open", "acme", Plan()),
}
NAMELESS: Final = track("Coupon Entered", timestamp=None, messageId=None)


@pytest.fixture
async def intake() -> AsyncIterator[Harness]:
    """Four sources: three that sign, and one that does not."""
    intake = open_intake(senders=SENDERS)
    async with intake.http:
        yield intake


class TestAtTheDoor:
    @staticmethod
    async def post(intake: Harness, key: str, body: bytes, headers: Headers, path: str = "/v1/batch") -> httpx.Response:
        texts = {name.decode(): value.decode("latin-1") for name, value in headers.items()}
        return await intake.post(path, body, key=None, headers={"x-write-key": key, **texts})

    async def test_a_post_that_proves_itself_is_taken(self, intake: Harness) -> None:
        signed = json.dumps(track("Coupon Entered")).encode()
        assert (await self.post(intake, "wk_segment", signed, by_segment(signed))).status_code == 200
        body = json.dumps(NAMELESS).encode()
        assert (await self.post(intake, "wk_standard", body, ByStandard(body).headers())).status_code == 200
        assert (await self.post(intake, "wk_bearer", body, {b"authorization": b"Bearer tk_1"})).status_code == 200
        assert (await self.post(intake, "wk_open", body, {})).status_code == 200
        assert [record["source"] for record in intake.outbox.records] == ["segment", "standard", "bearer", "open"]

    @pytest.mark.parametrize(
        ("key", "headers"),
        [
            pytest.param("wk_segment", {}, id="no signature"),
            pytest.param("wk_segment", {b"x-signature": b"0" * 40}, id="a wrong signature"),
            pytest.param("wk_standard", {b"webhook-id": b"msg_1"}, id="half of the headers"),
            pytest.param("wk_standard", by_segment(b"{}"), id="a signature of another scheme"),
            pytest.param("wk_bearer", {b"authorization": b"Bearer "}, id="an empty token"),
        ],
    )
    async def test_one_that_does_not_is_refused_and_counted(self, intake: Harness, key: str, headers: Headers) -> None:
        answer = await self.post(intake, key, json.dumps(NAMELESS).encode(), headers)
        assert_refused(answer, 401, "signature_invalid")
        assert intake.outbox.arrivals == []
        assert intake.count("gateway_refused_total", code="signature_invalid") == 1
        assert intake.count("gateway_http_requests_total", path="/v1/batch", status="401") == 1

    async def test_a_body_that_is_changed_on_its_way_is_refused(self, intake: Harness) -> None:
        body = json.dumps(NAMELESS).encode()
        answer = await self.post(intake, "wk_segment", body.replace(b"Coupon", b"Refund"), by_segment(body))
        assert_refused(answer, 401, "signature_invalid")

    @pytest.mark.parametrize("deep", [200, 1000])
    async def test_a_signature_saves_no_body_from_the_other_rules(self, intake: Harness, deep: int) -> None:
        body = (
            json.dumps(track("x", {"a": "HERE"}, timestamp=None))
            .replace('"HERE"', '{"a":' * deep + "1" + "}" * deep)
            .encode()
        )
        answer = await self.post(intake, "wk_standard", body, ByStandard(body).headers())
        assert answer.status_code == (400 if deep == 1000 else 200)


class TestTheIdOfAWebhook:
    @pytest.mark.parametrize("name", ["webhook-id", "svix-id"])
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            pytest.param("/v1/batch", NAMELESS, id="a single event"),
            pytest.param("/v1/batch", [NAMELESS], id="a list of one"),
            pytest.param("/v1/batch", {"batch": [NAMELESS]}, id="a batch of one"),
            pytest.param("/v1/track", NAMELESS, id="a single event on its own path"),
            pytest.param("/v1/track", NAMELESS | {"messageId": ""}, id="an event with an empty id"),
        ],
    )
    async def test_names_an_event_that_has_none(self, intake: Harness, path: str, body: Raw, name: str) -> None:
        """It is the same on every retry, so that a repeat is known for one."""
        await intake.post(path, body, key="wk_open", headers={name: "msg_7"})
        assert intake.outbox.message_ids == ["msg_7"]

    async def test_does_not_rename_one_that_has_its_own(self, intake: Harness) -> None:
        await intake.post("/v1/batch", track("x"), key="wk_open", headers={"webhook-id": "msg_7"})
        assert intake.outbox.message_ids == ["message-1"]

    async def test_names_several_with_their_positions(self, intake: Harness) -> None:
        """As they are: a list that is posted again gets them again."""
        for _ in range(2):
            await intake.post("/v1/batch", [NAMELESS, NAMELESS], key="wk_open", headers={"webhook-id": "msg_7"})
        assert intake.outbox.message_ids == ["msg_7.0", "msg_7.1"] * 2


class TestASignatureOfSegment:
    """It covers the first event of a list, and no time."""

    @staticmethod
    async def post(intake: Harness, content: Any) -> httpx.Response:
        body = json.dumps(content).encode()
        signature = by_segment(json.dumps(content[0] if isinstance(content, list) else content).encode())
        texts = {name.decode(): value.decode() for name, value in signature.items()}
        return await intake.post("/v1/batch", body, key=None, headers={"x-write-key": "wk_segment", **texts})

    @pytest.mark.parametrize("more", [1, 2, 40])
    async def test_lets_no_forged_event_in_behind_a_true_one(self, intake: Harness, more: int) -> None:
        forged = [track("Coupon Entered", messageId=f"forged-{number}") for number in range(more)]
        answer = await self.post(intake, [track("Coupon Entered"), *forged])
        assert_refused(answer, 400, "signature_covers_one_event")
        assert "batch size" in answer.json()["message"]
        assert intake.outbox.arrivals == []

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param([track("Coupon Entered")], id="a list of one event"),
            pytest.param(track("Coupon Entered"), id="one event"),
            pytest.param({"batch": [track("Coupon Entered"), track("Coupon Used")]}, id="a batch, signed as a whole"),
        ],
    )
    async def test_lets_in_what_it_covers(self, intake: Harness, content: Any) -> None:
        assert (await self.post(intake, content)).status_code == 200

    @pytest.mark.parametrize("content", [NAMELESS, [NAMELESS], {"batch": [NAMELESS]}])
    async def test_lets_in_no_event_that_could_be_sent_again_for_ever(self, intake: Harness, content: Any) -> None:
        assert_refused(await self.post(intake, content), 400, "id_required")
