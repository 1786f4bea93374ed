"""Signing in and out: each way, and what must not sign anybody in."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from redis.asyncio import Redis

from app.config.topology import Topology
from app.console.passwords import MOST_FAILURES, hash_password
from tests.console.opened import HASH, PASSWORD, Opened, configuration, opened

ISSUER: Final = "https://id.example"
AWAY: Final = "https://console.example"
ABSENT: Final = "a claim that is left out"
GROUPS: Final = {"platform": {"role": "admin"}, "shop": {"role": "viewer", "destinations": ["acme"]}}
OIDC: Final = {
    "sign_in": "oidc",
    "url": "https://console.example",
    "oidc": {"issuer": ISSUER, "client_id": "gateway", "client_secret": "secret"},
    "groups": GROUPS,
}
NAMED: Final = {"x-forwarded-email": "ada", "x-forwarded-groups": "platform"}
PROXY: Final = {"sign_in": "proxy", "proxy": {"trusted": ["10.0.3.0/24"]}, "groups": GROUPS}


async def sign_in(browser: httpx.AsyncClient, user: str, password: str, **form: str) -> httpx.Response:
    return await browser.post("/sign-in", data={"user": user, "password": password, **form})


async def test_a_password_begins_a_session_and_signing_out_ends_it(console: Opened) -> None:
    browser = console.client()
    answer = await sign_in(browser, "vera", PASSWORD, after="/lanes?destination=acme")
    assert (answer.status_code, answer.headers["location"]) == (303, "/lanes?destination=acme")
    assert (await browser.get("/")).status_code == 200
    kept = dict(browser.cookies)
    await browser.post("/sign-out")
    assert (await browser.get("/")).status_code == 303
    assert (await console.client(cookies=kept).get("/")).status_code == 303
    acts = [entry.act for entry in await console.parts.audit.latest(10)]
    assert acts == ["sign-out", "sign-in"]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param("vera", "correct horse", id="a wrong password"),
        pytest.param("nobody", PASSWORD, id="an unknown user"),
        pytest.param("vera", HASH, id="the hash itself"),
        pytest.param("vera", PASSWORD + "\x00", id="a password with something behind it"),
    ],
)
async def test_what_is_wrong_signs_nobody_in(console: Opened, user: str, password: str) -> None:
    browser = console.client()
    answer = await sign_in(browser, user, password)
    assert answer.status_code == 401
    assert not browser.cookies
    assert password not in answer.text
    (entry,) = await console.parts.audit.latest(10)
    assert (entry.act, entry.user) == ("sign-in failed", user if user == "vera" else "(unknown)")


async def test_too_many_failures_lock_a_user_and_no_other(console: Opened) -> None:
    for _ in range(MOST_FAILURES):
        await sign_in(console.client(), "vera", "wrong")
    assert (await sign_in(console.client(), "vera", PASSWORD)).status_code == 429
    assert (await sign_in(console.client(), "otto", PASSWORD)).status_code == 303


@pytest.mark.parametrize(
    "after", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""]
)
async def test_nobody_is_sent_to_another_site(console: Opened, after: str) -> None:
    answer = await sign_in(console.client(), "vera", PASSWORD, after=after)
    assert answer.headers["location"] == "/"


async def test_away_from_this_machine_the_cookie_needs_https(console: Opened) -> None:
    form = {"user": "vera", "password": PASSWORD}
    there = (await console.client(base_url=AWAY).post("/sign-in", data=form)).headers["set-cookie"]
    assert there.startswith("__Host-session=")
    for word in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"):
        assert word in there
    here = (await sign_in(console.client(), "vera", PASSWORD)).headers["set-cookie"]
    assert "Secure" not in here
    assert "HttpOnly" in here


async def test_a_session_is_kept_by_its_digest_and_can_be_revoked(console: Opened, redis: Redis) -> None:
    browser, admin = await console.user("vera"), await console.user("adam")
    session_id = browser.cookies["console-session"]
    stored = [key.decode() for key in await redis.keys("{.console}*")]
    assert not [key for key in stored if session_id in key]
    (session,) = [each for each in await console.parts.sessions.all() if each.user == "vera"]
    assert session.digest[:12] not in (await browser.get("/")).text
    assert (await admin.post(f"/sessions/{session.digest}/revoke")).status_code == 303
    assert (await browser.get("/")).status_code == 303


async def test_a_user_that_is_taken_from_the_file_may_nothing_more(tmp_path: Path, url: str, redis: Redis) -> None:
    content = configuration()
    async with opened(tmp_path, url, content) as console:
        browser = await console.user("vera")
        assert (await browser.get("/")).status_code == 200
        del content["console"]["users"]["vera"]
        topology = console.parts.reload.running.topology.model_validate(content)
        console.parts.sign_ins.replace(topology)
        assert (await browser.get("/")).status_code == 403


@pytest.mark.parametrize(
    ("user", "signed_in"),
    [pytest.param("vera", False, id="whose password it is"), pytest.param("otto", True, id="another user")],
)
async def test_a_changed_password_ends_the_sessions_of_its_user(console: Opened, user: str, signed_in: bool) -> None:
    browser = await console.user(user)
    assert (await browser.get("/")).status_code == 200
    content = configuration()
    content["console"]["users"]["vera"]["password_hash"] = hash_password("another long password")
    console.parts.sign_ins.replace(Topology.model_validate(content))
    assert ((await browser.get("/")).status_code == 200) is signed_in


async def test_all_replicas_know_the_sessions_of_the_password_of_the_environment(
    tmp_path: Path, url: str, redis: Redis
) -> None:
    content = {name: part for name, part in configuration().items() if name != "console"}
    answers = []
    async with opened(tmp_path, url, content, console_password=PASSWORD) as first:
        browser = first.client()
        await sign_in(browser, "admin", PASSWORD)
        for password in (PASSWORD, "another long password"):
            async with opened(tmp_path, url, content, console_password=password) as other:
                answers.append((await other.client(cookies=dict(browser.cookies)).get("/")).status_code)
    assert answers == [200, 303]


async def test_the_link_of_run_signs_in_as_an_admin(tmp_path: Path, url: str, redis: Redis) -> None:
    content = configuration()
    del content["console"]
    async with opened(tmp_path, url, content, console_token="a-token-of-run") as console:
        browser = console.client()
        assert (await browser.get("/")).headers["location"] == "/sign-in"
        assert (await browser.get("/sign-in?token=another")).status_code == 401
        assert (await browser.get("/sign-in?token=a-token-of-run")).status_code == 303
        assert (await browser.get("/audit")).status_code == 200


async def test_the_password_of_the_environment_is_the_admins(tmp_path: Path, url: str, redis: Redis) -> None:
    content = configuration()
    del content["console"]
    async with opened(tmp_path, url, content, console_password=PASSWORD) as console:
        browser = console.client()
        assert (await sign_in(browser, "admin", PASSWORD)).status_code == 303
        assert (await browser.get("/audit")).status_code == 200


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        pytest.param("10.0.3.9", {"x-forwarded-email": "ada", "x-forwarded-groups": "x,platform"}, 200, id="an admin"),
        pytest.param("10.0.3.9", {"x-forwarded-email": "ada", "x-forwarded-groups": "x"}, 403, id="no group of ours"),
        pytest.param("10.0.3.9", {}, 303, id="nobody is named"),
        pytest.param("10.0.4.9", NAMED, 303, id="not the proxy"),
    ],
)
async def test_a_proxy_names_the_user(
    tmp_path: Path, url: str, redis: Redis, address: str, headers: dict[str, str], status: int
) -> None:
    async with opened(tmp_path, url, configuration(**PROXY)) as console:
        assert (await console.client(address).get("/audit", headers=headers)).status_code == status


class Provider:
    """An identity provider that signs what it is told to."""

    def __init__(self) -> None:
        self.signs_with: RSAKey | OctKey
        self.key = self.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
        self.away = False
        self.nonce = self.challenge = ""
        self.issuer = ISSUER
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "1"}
        self.claims: dict[str, Any] = {}
        self.forms: list[dict[str, list[str]]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("no route", request=request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
                urls = {name: ISSUER + path for name, path in names.items()}
                return httpx.Response(200, json={"issuer": self.issuer, **urls})
            case "/keys":
                return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
            case _:
                self.forms.append(form := parse_qs(request.content.decode()))
                digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
                if base64.urlsafe_b64encode(digest).decode().rstrip("=") != self.challenge:
                    return httpx.Response(400, json={"error": "invalid_grant"})
                usual = {"iss": ISSUER, "aud": "gateway", "exp": int(time.time()) + 60, "nonce": self.nonce}
                person = {"email": "ada@shop.example", "groups": ["platform"]}
                claims = {name: value for name, value in (usual | person | self.claims).items() if value != ABSENT}
                token = self.signed(claims)
                return httpx.Response(200, json={"id_token": token})

    def signed(self, claims: Mapping[str, Any]) -> str:
        """The token with these claims."""
        if self.header["alg"] != "none":
            return jwt.encode(self.header, dict(claims), self.signs_with, algorithms=[self.header["alg"]])
        parts = (base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in (self.header, claims))
        return f"{'.'.join(parts)}."


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def with_oidc(tmp_path: Path, url: str, redis: Redis, provider: Provider) -> AsyncIterator[Opened]:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: provider.answer(request)))
    async with opened(tmp_path, url, configuration(**OIDC), http=http) as console:
        yield console


async def come_back(console: Opened, provider: Provider, **changes: str) -> tuple[httpx.AsyncClient, httpx.Response]:
    """Begin a sign-in, and come back from the provider with a code."""
    browser = console.client(base_url=AWAY)
    away = urlsplit((await browser.get("/sign-in/oidc?after=/lanes")).headers["location"])
    asked = {name: values[0] for name, values in parse_qs(away.query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "https://console.example/sign-in/oidc/callback"
    provider.nonce, provider.challenge = asked["nonce"], asked["code_challenge"]
    query = {"code": "the-code", "state": asked["state"]} | changes
    return browser, await browser.get("/sign-in/oidc/callback", params=query)


async def test_a_provider_signs_a_user_in(with_oidc: Opened, provider: Provider) -> None:
    browser, answer = await come_back(with_oidc, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/lanes")
    assert (await browser.get("/audit")).status_code == 200
    (form,) = provider.forms
    assert (form["code"], form["client_secret"]) == (["the-code"], ["secret"])
    assert len(form["code_verifier"][0]) >= 43


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"nonce": "another"}, id="a token of another sign-in"),
        pytest.param({"nonce": ABSENT}, id="a token of no sign-in"),
        pytest.param({"aud": "another"}, id="a token for another client"),
        pytest.param({"aud": ["gateway", "other"], "azp": "other"}, id="a token that another client asked for"),
        pytest.param({"exp": ABSENT}, id="a token that never ends"),
        pytest.param({"iss": "https://evil.example"}, id="a token of another provider"),
        pytest.param({"exp": 1_700_000_000}, id="an old token"),
        pytest.param({"email": None}, id="a token that names nobody"),
        pytest.param({"email_verified": False}, id="an address that was not verified"),
        pytest.param({"groups": []}, id="no group"),
        pytest.param({"groups": ["strangers"]}, id="a group without rights"),
    ],
)
async def test_a_token_that_is_wrong_signs_nobody_in(
    with_oidc: Opened, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    browser, answer = await come_back(with_oidc, provider)
    assert answer.status_code in (401, 403)
    assert (await browser.get("/")).status_code == 303


async def test_a_token_signed_by_another_key_signs_nobody_in(with_oidc: Opened, provider: Provider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
    _, response = await come_back(with_oidc, provider)
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("header", "key"),
    [
        pytest.param({"alg": "none"}, None, id="no signature"),
        pytest.param({"alg": "RS256", "kid": "2"}, None, id="a key that the provider does not have"),
        pytest.param({"alg": "HS256", "kid": "1"}, OctKey.import_key("secret" * 8), id="a secret that we share"),
    ],
)
async def test_a_signature_of_another_kind_signs_nobody_in(
    with_oidc: Opened, provider: Provider, header: dict[str, str], key: OctKey | None
) -> None:
    provider.header, provider.signs_with = header, key or provider.key
    browser, answer = await come_back(with_oidc, provider)
    assert answer.status_code == 401
    assert (await browser.get("/")).status_code == 303


async def test_a_provider_that_changes_its_keys_goes_on_signing_users_in(with_oidc: Opened, provider: Provider) -> None:
    await come_back(with_oidc, provider)
    provider.key = provider.signs_with = RSAKey.generate_key(2048, {"kid": "2"})
    provider.header = {"alg": "RS256", "kid": "2"}
    _, answer = await come_back(with_oidc, provider)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/lanes"


async def test_a_code_for_another_challenge_signs_nobody_in(with_oidc: Opened, provider: Provider) -> None:
    begun, _ = await come_back(with_oidc, provider)
    away = urlsplit((await begun.get("/sign-in/oidc")).headers["location"])
    asked = {name: values[0] for name, values in parse_qs(away.query).items()}
    answer = await begun.get("/sign-in/oidc/callback", params={"code": "the-code", "state": asked["state"]})
    assert answer.status_code in (401, 502)
    assert "refused the code" in answer.text


async def test_a_document_of_another_issuer_is_refused(with_oidc: Opened, provider: Provider) -> None:
    provider.issuer = "https://evil.example"
    answer = await with_oidc.client(base_url=AWAY).get("/sign-in/oidc")
    assert "names another issuer" in answer.text


async def test_a_state_of_another_browser_signs_nobody_in(with_oidc: Opened, provider: Provider) -> None:
    _, answer = await come_back(with_oidc, provider, state="another")
    assert answer.status_code == 401


async def test_a_provider_that_is_away_is_told(with_oidc: Opened, provider: Provider) -> None:
    provider.away = True
    answer = await with_oidc.client(base_url=AWAY).get("/sign-in/oidc")
    assert answer.status_code == 502
    assert "could not be reached" in answer.text
