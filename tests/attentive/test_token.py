"""What a token's scopes are known by, against the sandbox: whatever the order in which it looks at a call."""

import httpx
import pytest

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import ELIGIBILITY, ENDPOINTS
from app.attentive.token import PROBES, Held, held, owner, works
from app.sandbox import RunningSandbox, running_sandbox

KEY = "sandbox-token"


async def found(sandbox: RunningSandbox) -> dict[str, Held]:
    client = AttentiveClient(sandbox.url, KEY, user_agent="test")
    try:
        return {
            scope: held(probe, await client.probe(probe.method, probe.path, probe.body))
            for scope, probe in PROBES.items()
        }
    finally:
        await client.close()


def test_every_scope_that_a_call_of_ours_needs_has_a_probe() -> None:
    assert PROBES.keys() >= {scope for each in (*ENDPOINTS, ELIGIBILITY) for scope in each.scope.split()}


@pytest.mark.parametrize("missing", [None, *PROBES])
async def test_a_scope_is_told_apart_from_all_others_and_nothing_happens(missing: str | None) -> None:
    with running_sandbox() as sandbox:
        scopes = [scope for scope in PROBES if scope != missing]
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False, verify=False) as control:
            await control.patch("/_sandbox/keys/sandbox", json={"scopes": scopes})
            assert await found(sandbox) == {scope: Held.NO if scope == missing else Held.YES for scope in PROBES}
            summary = (await control.get("/_sandbox/summary")).json()
        assert (summary["accepted"], summary["people"], summary["texts"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(Reply(200), Held.YES, id="an answer"),
        pytest.param(Reply(400), Held.YES, id="refused for what the call lacks"),
        pytest.param(Reply(403), Held.NO, id="refused for the token"),
        pytest.param(Reply(401), Held.UNKNOWN, id="a token that has just been revoked"),
        pytest.param(Reply(404), Held.UNKNOWN, id="an endpoint that is elsewhere"),
        pytest.param(Reply(429), Held.UNKNOWN, id="too much at once"),
        pytest.param(Reply(503), Held.UNKNOWN, id="a server in trouble"),
        pytest.param(Unreachable("no answer in time", ambiguous=True), Held.UNKNOWN, id="no answer"),
    ],
)
def test_nothing_is_claimed_that_the_answer_does_not_say(reply: Reply | Unreachable, expected: Held) -> None:
    assert held(PROBES["events:write"], reply) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"companyName":"Northpeak","applicationName":"Shop"}', "Northpeak, app Shop", id="both named"),
        pytest.param(b'{"companyName":"Northpeak","applicationName":null}', "Northpeak", id="no app named"),
        pytest.param(b"{}", "an unnamed company", id="not named"),
        pytest.param(b"[]", "an answer that cannot be read", id="another form"),
        pytest.param(b"<html>", "an answer that cannot be read", id="no JSON"),
    ],
)
def test_whose_token_it_is(body: bytes, expected: str) -> None:
    reply = Reply(200, body)
    assert works(reply)
    assert owner(reply) == expected
