"""Sign-in with an OpenID Connect provider. The client and its libraries are loaded with the first sign-in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.config.console import Oidc
from app.store.connection import Redis

if TYPE_CHECKING:
    import httpx

    from app.console.oidc_client import OidcClient

STATE_LIFE_S: Final = 600


class OidcFailed(Exception):  # noqa: N818 - it ends one sign-in
    """The provider did not identify the user. The text is for the user and for the log: it holds no token."""


@dataclass(frozen=True, slots=True)
class OidcUser:
    """Who signed in."""

    name: str
    groups: tuple[str, ...]


class OidcSignIn:
    """One provider. Each method but `close` raises OidcFailed and StoreError."""

    def __init__(self, redis: Redis, http: "httpx.AsyncClient | None" = None) -> None:
        """`http` speaks to the provider in place of a client of its own."""
        self._redis, self._http = redis, http
        self._client: OidcClient | None = None

    async def begin(self, oidc: Oidc, redirect_uri: str) -> tuple[str, str]:
        """The address to send the browser to, and the state that its cookie must bring back."""
        return await self._loaded().begin(oidc, redirect_uri)

    async def finish(
        self, oidc: Oidc, redirect_uri: str, query: Mapping[str, str], state_of_browser: str | None
    ) -> OidcUser:
        """The user that the provider sends back."""
        return await self._loaded().finish(oidc, redirect_uri, query, state_of_browser)

    async def close(self) -> None:
        """Close the connections to the provider."""
        if self._client is not None:
            await self._client.close()

    def _loaded(self) -> "OidcClient":
        from app.console.oidc_client import OidcClient  # 5 MB that a console with another sign-in does without

        self._client = self._client or OidcClient(self._redis, self._http)
        return self._client
