"""Who may use the console, as the YAML file describes it."""

import ipaddress
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from app.config.values import LOOPBACK, Frozen, HeaderName, Name, SecretRef, is_placeholder, url_parts

_ARGON2: Final = "$argon2id$"


class Role(StrEnum):
    """What a user of the console may do. Each role includes the ones before it."""

    VIEWER = "viewer"  # see everything, personal data masked
    OPERATOR = "operator"  # also edit, replay, resume and resolve
    ADMIN = "admin"  # also delete, erase, and see sessions and the audit log


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be an IP address or a network, such as 10.0.0.0/8") from None


def _web_address(url: str) -> str:
    parts = url_parts(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError("must be an https address")
    return url.rstrip("/")


Network = Annotated[str, AfterValidator(_network)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class ConsoleGrant(Frozen):
    """The rights of a group of the console's users."""

    role: Role = Field(
        Role.VIEWER,
        description="viewer: sees everything, personal data masked; operator: also edits, replays, resumes and "
        "resolves; admin: also deletes and erases. An admin of all destinations also sees sessions and the audit log",
    )
    reveal: bool = Field(False, description="whether personal data may be shown; a right of its own, for any role")
    destinations: tuple[Name, ...] | None = Field(
        None, description="the destinations that these rights are for. Default: all"
    )


class ConsoleUser(ConsoleGrant):
    """A user of the console. With `oidc` and `proxy`, users need not be listed when their groups are."""

    indirect: ClassVar = "password_hash"

    password_hash: SecretRef | None = Field(
        None,
        description="for `sign_in: password`: what `attentive-gateway users hash` prints; or password_hash_env, or "
        "password_hash_file",
    )

    @model_validator(mode="after")
    def _check_hash(self) -> Self:
        secret = self.password_hash
        if secret is None or is_placeholder(secret):
            return self
        if not secret.get_secret_value().startswith(_ARGON2):
            raise ValueError("password_hash: must be what `attentive-gateway users hash` prints, not the password")
        return self


class Oidc(Frozen):
    """An OpenID Connect provider. Its users sign in with the authorization code flow and PKCE."""

    indirect: ClassVar = "client_secret"

    issuer: WebAddress = Field(description="the provider's issuer address; its discovery document is read from there")
    client_id: str = Field(min_length=1, description="the client ID that the provider gave the console")
    client_secret: SecretRef = Field(description="the client's secret; or client_secret_env, or client_secret_file")
    scopes: str = Field("openid email profile", description="the scopes to ask for, separated by blanks")
    user_claim: str = Field("email", description="the claim of the ID token that names the user")
    groups_claim: str = Field("groups", description="the claim of the ID token that lists the user's groups")


class SignInProxy(Frozen):
    """A proxy that signs users in and names them in a header, such as oauth2-proxy."""

    trusted: tuple[Network, ...] = Field(
        min_length=1, description="addresses or networks of the proxy. Its headers are ignored from anywhere else"
    )
    user_header: HeaderName = Field("X-Forwarded-Email", description="the header that names the user")
    groups_header: HeaderName = Field(
        "X-Forwarded-Groups", description="the header that lists the user's groups, separated by commas"
    )


class Console(Frozen):
    """How users sign in to the console, and what they may do there."""

    sign_in: Literal["none", "password", "oidc", "proxy"] = Field(
        description="none: everyone on this machine is an admin, on a loopback address only; password: users of this "
        "file; oidc: users of an OpenID Connect provider; proxy: users that a proxy has signed in"
    )
    url: WebAddress | None = Field(
        None, description="the address of the console in browsers, such as https://console.example. Needed for oidc"
    )
    users: dict[str, ConsoleUser] = Field({}, description="users by name, see below")
    groups: dict[str, ConsoleGrant] = Field({}, description="the rights of groups of oidc and proxy, see below")
    oidc: Oidc | None = Field(None, description="the OpenID Connect provider, see below")
    proxy: SignInProxy | None = Field(None, description="the proxy that signs users in, see below")

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        match self.sign_in:
            case "password" if not any(user.password_hash for user in self.users.values()):
                raise ValueError("users: sign_in password needs a user with a password_hash")
            case "oidc" if self.oidc is None or self.url is None:
                raise ValueError("oidc: sign_in oidc needs `oidc` and `url`")
            case "proxy" if self.proxy is None:
                raise ValueError("proxy: sign_in proxy needs `proxy`")
            case "oidc" | "proxy" if not (self.users or self.groups):
                raise ValueError("groups: no user could sign in. List `groups` or `users`")
        return self
