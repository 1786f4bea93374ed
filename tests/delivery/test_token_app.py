"""Event types belong to the app that sent them first: another app is noticed, until an operator accepts it."""

from datetime import timedelta
from typing import Final

import orjson
import pytest
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.delivery.accounts.account import Account, bind, rebind
from app.delivery.accounts.token_app import TokenApp, accept_app, note_app, read_apps

URL: Final = "https://api.attentivemobile.com"


def answer(app: str | None, company: str = "c-1") -> Reply:
    body = orjson.dumps({"applicationName": app, "companyId": company, "companyName": "Acme"})
    return Reply(200, body, timedelta())


async def known(redis: Redis) -> TokenApp | None:
    return (await read_apps(redis, ["acme"])).get("acme")


@pytest.fixture(autouse=True)
async def _bound(redis: Redis) -> None:
    await bind(redis, "acme", Account.of(URL, "token", answer("Shop")))


async def test_the_first_app_is_remembered_and_another_one_is_noticed(redis: Redis) -> None:
    assert await note_app(redis, "acme", answer("Shop")) == TokenApp("Shop")
    assert await note_app(redis, "acme", answer("Other")) == TokenApp("Shop", "Other")
    assert await known(redis) == TokenApp("Shop", "Other")
    await note_app(redis, "acme", answer("Shop"))
    assert await known(redis) == TokenApp("Shop")


async def test_an_operator_accepts_another_app(redis: Redis) -> None:
    await note_app(redis, "acme", answer("Shop"))
    await note_app(redis, "acme", answer("Other"))
    await accept_app(redis, "acme", "Other")
    assert await note_app(redis, "acme", answer("Other")) == TokenApp("Other")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(None), id="no app is named"),
        pytest.param(answer("Other", "c-2"), id="an app of another company"),
        pytest.param(Reply(401, b"{}", timedelta()), id="a refused token"),
        pytest.param(Reply(200, b"[]", timedelta()), id="an answer that is not an object"),
        pytest.param(Unreachable("no answer in time", ambiguous=True), id="no answer"),
    ],
)
async def test_what_says_nothing_of_the_app_changes_nothing(redis: Redis, reply: Reply | Unreachable) -> None:
    await note_app(redis, "acme", answer("Shop"))
    assert await note_app(redis, "acme", reply) is None
    assert await known(redis) == TokenApp("Shop")


async def test_another_account_begins_anew(redis: Redis) -> None:
    await note_app(redis, "acme", answer("Shop"))
    await rebind(redis, "acme", Account.of(URL, "token-2", answer("Other", "c-2")))
    assert await known(redis) is None
