"""The authorization code flow of OpenID Connect, with PKCE, state and nonce.

The provider's documents are read when a user signs in, and kept for an hour. The ID token's signature, issuer,
audience, authorized party, expiry and nonce are checked.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.config.console import Oidc
from app.console.oidc import STATE_LIFE_S, OidcFailed, OidcUser
from app.store.connection import Redis
from app.store.keys import ConsoleKeys

_KEPT_S: Final = 3600
_TIMEOUT_S: Final = 10.0
_LEEWAY_S: Final = 60
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class OidcClient:
    """One provider. Each method raises OidcFailed and StoreError."""

    def __init__(self, redis: Redis, http: httpx.AsyncClient | None = None) -> None:
        self._redis = redis
        self._http = http or httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
        self._documents: dict[str, tuple[float, Any]] = {}

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def begin(self, oidc: Oidc, redirect_uri: str) -> tuple[str, str]:
        """The address to send the browser to, and the state that its cookie must bring back."""
        provider = await self._provider(oidc)
        state, verifier, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        stored = orjson.dumps({"verifier": verifier, "nonce": nonce})
        await self._redis.set(ConsoleKeys.state(_digest(state)), stored, ex=STATE_LIFE_S)
        query = {
            "response_type": "code",
            "client_id": oidc.client_id,
            "redirect_uri": redirect_uri,
            "scope": oidc.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return f"{_address(provider, 'authorization_endpoint')}?{urlencode(query)}", state

    async def finish(
        self, oidc: Oidc, redirect_uri: str, query: Mapping[str, str], state_of_browser: str | None
    ) -> OidcUser:
        """The user that the provider sends back."""
        if "error" in query:
            raise OidcFailed("The identity provider refused the sign-in.")
        state = query.get("state", "")
        if not state_of_browser or not hmac.compare_digest(state.encode(), state_of_browser.encode()):
            raise OidcFailed("This sign-in was begun in another browser, or too long ago. Begin again.")
        stored = await self._redis.getdel(ConsoleKeys.state(_digest(state)))
        if stored is None:
            raise OidcFailed("This sign-in was begun too long ago. Begin again.")
        begun: dict[str, str] = orjson.loads(stored)
        token = await self._exchange(oidc, redirect_uri, query.get("code", ""), begun["verifier"])
        claims = await self._claims(oidc, token, begun["nonce"])
        return _user(oidc, claims)

    async def _provider(self, oidc: Oidc) -> Mapping[str, Any]:
        """The provider's document, which must name the issuer that the configuration names."""
        provider: Mapping[str, Any] = await self._document(f"{oidc.issuer}/.well-known/openid-configuration")
        if str(provider.get("issuer")).rstrip("/") != oidc.issuer.rstrip("/"):
            raise OidcFailed("The identity provider's document names another issuer than `oidc.issuer`.")
        return provider

    async def _exchange(self, oidc: Oidc, redirect_uri: str, code: str, verifier: str) -> str:
        provider = await self._provider(oidc)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": oidc.client_id,
            "client_secret": oidc.client_secret.get_secret_value(),
            "code_verifier": verifier,
        }
        try:
            answer = await self._http.post(_address(provider, "token_endpoint"), data=form)
            token = answer.json().get("id_token") if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, AttributeError) as failure:
            raise OidcFailed(f"The identity provider could not be reached ({type(failure).__name__}).") from None
        if not isinstance(token, str):
            raise OidcFailed(f"The identity provider refused the code (HTTP {answer.status_code}).")
        return token

    async def _claims(self, oidc: Oidc, token: str, nonce: str) -> dict[str, Any]:
        provider = await self._provider(oidc)
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": provider["issuer"]},
            aud={"essential": True, "value": oidc.client_id},
            azp={"value": oidc.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        keys_at = _address(provider, "jwks_uri")
        for last in (False, True):
            try:
                keys = KeySet.import_key_set(await self._document(keys_at))
                claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
                rules.validate(claims)
            except (JoseError, ValueError, KeyError, TypeError) as failure:
                if last:
                    kind = type(failure).__name__
                    raise OidcFailed(f"The ID token of the identity provider is not valid ({kind}).") from None
                self._documents.pop(keys_at, None)  # the provider may have changed its keys
            else:
                return dict(claims)
        raise AssertionError("unreachable")

    async def _document(self, address: str) -> Any:
        read_at, document = self._documents.get(address, (float("-inf"), None))
        if time.monotonic() - read_at < _KEPT_S:
            return document
        try:
            answer = await self._http.get(address)
            answer.raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, ValueError) as failure:
            raise OidcFailed(f"The identity provider could not be reached ({type(failure).__name__}).") from None
        if not isinstance(document, dict):
            raise OidcFailed("The identity provider answered with something other than its document.")
        self._documents[address] = (time.monotonic(), document)
        return document


def _address(provider: Mapping[str, Any], name: str) -> str:
    address = provider.get(name)
    if not isinstance(address, str):
        raise OidcFailed(f"The identity provider's document has no {name}.")
    return address


def _user(oidc: Oidc, claims: Mapping[str, Any]) -> OidcUser:
    name, groups = claims.get(oidc.user_claim), claims.get(oidc.groups_claim, [])
    if not isinstance(name, str) or not name:
        raise OidcFailed(f"The ID token has no claim {oidc.user_claim}.")
    if oidc.user_claim == "email" and claims.get("email_verified") is False:
        raise OidcFailed("The identity provider has not verified this e-mail address.")
    return OidcUser(name, tuple(map(str, groups)) if isinstance(groups, list) else (str(groups),))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
