"""Each token is checked once for its account. One that does not work is reported, and stops nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from app.attentive.client import AttentiveClient
from app.sandbox import RunningSandbox, running_sandbox
from tests.local import local_client
from tests.ports import free_port
from tests.stack import wait_until
from tests.waiting import patient
from workers.token_check import TokenCheck


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
async def clients(sandbox: RunningSandbox) -> AsyncIterator[dict[str, AttentiveClient]]:
    kept = {"good": client(sandbox.url, "sandbox-token")}
    every = dict(kept)
    yield kept
    for each in {**every, **kept}.values():
        await each.close()


def client(url: str, token: str) -> AttentiveClient:
    return AttentiveClient(url, token, user_agent="test")


async def said_by(check: TokenCheck) -> list[tuple[str, str, str]]:
    """Level, event and destination of all that is said until everybody has answered."""
    with capture_logs() as said:
        check.begin()
        await check.done()
    return sorted((line["log_level"], line["event"], line["destination"]) for line in said)


async def test_a_token_that_does_not_work_is_an_error_and_one_that_cannot_be_asked_about_a_warning(
    sandbox: RunningSandbox, clients: dict[str, AttentiveClient]
) -> None:
    clients["bad"] = client(sandbox.url, "revoked")
    clients["away"] = client(f"http://127.0.0.1:{free_port()}", "any")
    assert await said_by(TokenCheck(lambda: clients)) == [
        ("error", "destination.token_refused", "bad"),
        ("info", "destination.token_works", "good"),
        ("warning", "destination.token_unknown", "away"),
    ]


async def test_after_a_change_only_new_tokens_are_asked_about(
    sandbox: RunningSandbox, clients: dict[str, AttentiveClient]
) -> None:
    check = TokenCheck(lambda: clients)
    await said_by(check)
    clients["new"] = client(sandbox.url, "revoked")
    assert await said_by(check) == [("error", "destination.token_refused", "new")]
    assert await said_by(check) == []


async def test_who_does_not_answer_holds_up_neither_start_nor_stop(
    sandbox: RunningSandbox, clients: dict[str, AttentiveClient]
) -> None:
    with local_client(base_url=sandbox.url) as control:
        await asyncio.to_thread(control.post, "/_sandbox/faults", json={"kind": "hang", "path": "GET /v1/me"})

        def asked() -> bool:
            return bool(control.get("/_sandbox/faults").json()["faults"][0]["struck"])

        check = TokenCheck(lambda: clients)
        check.begin()
        await asyncio.to_thread(wait_until, asked, "it is asked")
        async with asyncio.timeout(patient(5)):
            await check.end()
