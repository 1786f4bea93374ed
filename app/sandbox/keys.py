"""API keys: the owner and scopes of a bearer token. Keys can be added, restricted and revoked at run time."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from app.sandbox.endpoints import ALL_SCOPES


class ApiKey(BaseModel):
    """One key of one custom app of one Attentive account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(min_length=1, repr=False, exclude=True)  # never shown again, as in Attentive's own screens
    name: str = Field(min_length=1, description="The name of this key in the ledger and the control endpoints.")
    app: str = Field("sandbox-app", description="The custom app the key belongs to; event types are bound to it.")
    company: str = Field("sandbox-company", description="The account. People and event types are kept per company.")
    company_id: str = "sandbox-company-id"
    domain: str = "sandbox"
    contact_email: str = "sandbox@example.com"
    scopes: frozenset[str] = ALL_SCOPES
    revoked: bool = False

    @field_validator("scopes")
    @classmethod
    def _known_scopes(cls, scopes: frozenset[str]) -> frozenset[str]:
        if unknown := sorted(scopes - ALL_SCOPES):
            raise ValueError(f"{unknown[0]} is not a scope; there are {', '.join(sorted(ALL_SCOPES))}")
        return scopes

    @field_serializer("scopes")
    def _sorted_scopes(self, scopes: frozenset[str]) -> list[str]:
        return sorted(scopes)


DEFAULT_KEY = ApiKey(token="sandbox-token", name="sandbox")  # noqa: S106  # opens nothing but this sandbox


class Keyring:
    """All keys, found by an Authorization header or by name."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        """Hold these keys; of two with one name the later one counts, of two with one token the earlier."""
        self._by_name: dict[str, ApiKey] = {}
        self._by_token: dict[bytes, ApiKey] = {}
        for key in keys:
            self.put(key)

    def put(self, key: ApiKey) -> bool:
        """Add a key, or replace the one with this name. False if a key with another name has this token."""
        token = key.token.encode()
        if self._by_token.get(token, key).name != key.name:
            return False
        if (former := self._by_name.get(key.name)) is not None:
            del self._by_token[former.token.encode()]
        self._by_name[key.name] = key
        self._by_token[token] = key
        return True

    def remove(self, name: str) -> bool:
        """Remove a key. False if there was none with this name."""
        if (key := self._by_name.pop(name, None)) is None:
            return False
        self._by_token.pop(key.token.encode(), None)
        return True

    def named(self, name: str) -> ApiKey | None:
        """The key of this name."""
        return self._by_name.get(name)

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones included, in the order they were added."""
        return list(self._by_name.values())

    def of_header(self, authorization: bytes | None) -> ApiKey | str:
        """The valid key in an Authorization header, or the reason for the 401."""
        if not authorization:
            return "missing Authorization header"
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            return "malformed Authorization header: expected Bearer <key>"
        key = self._by_token.get(token.strip())
        if key is None:
            return "unknown API key"
        return "revoked API key" if key.revoked else key
