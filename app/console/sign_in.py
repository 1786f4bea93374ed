"""How users sign in, by settings and configuration, and the rights of a session."""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from app.config.bad_settings import BadSettings
from app.config.console import Console, SignInProxy
from app.config.topology import Topology
from app.config.values import LOOPBACK, is_placeholder
from app.console.access import EVERYTHING, Access, access_of
from app.console.passwords import hash_password
from app.settings import Settings

ADMIN: Final = "admin"  # the user of GATEWAY_CONSOLE_PASSWORD and of the link
_SALT: Final = b"GATEWAY_CONSOLE_PASSWORD"  # one for all replicas, so that each knows the sessions of the others
LOCAL: Final = "local"  # everyone on this machine, if no sign-in is required
Way = Literal["none", "password", "oidc", "proxy", "link"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """How users sign in."""

    way: Way
    console: Console | None = None
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)  # by user
    token: str | None = field(default=None, repr=False)  # of the link, which works beside every other way

    def access(self, user: str, groups: Iterable[str], way: str) -> Access:
        """What a session may do. Nothing when it was begun in a way that is not in use any more."""
        if way == "link":
            return EVERYTHING if self.token is not None else Access()
        if way != self.way:
            return Access()
        if way == "password" and self.console is None:
            return EVERYTHING if user == ADMIN else Access()
        return access_of(self.console, user, groups)

    def proof(self, user: str, way: str) -> str:
        """What the sessions of a user carry, so that they end when the password is changed: a digest of its hash."""
        hashed = self.hashes.get(user) if way == "password" else None
        return "" if hashed is None else hashlib.sha256(hashed.encode()).hexdigest()[:32]


class SignIns:
    """The way of the topology that is in use now."""

    def __init__(self, settings: Settings, topology: Topology, host: str) -> None:
        """Raises BadSettings."""
        self._settings, self._host = settings, host
        password = settings.console_password
        self._admin = {} if password is None else {ADMIN: hash_password(password.get_secret_value(), salt=_SALT)}
        self.now = self._of(topology)

    def replace(self, topology: Topology) -> None:
        """Use another topology from now on. Raises BadSettings, and then changes nothing."""
        self.now = self._of(topology)

    def _of(self, topology: Topology) -> SignIn:
        secret, console = self._settings.console_token, topology.console
        token = None if secret is None else secret.get_secret_value()
        if console is not None:
            if console.sign_in == "none" and self._host not in LOOPBACK:
                raise BadSettings(
                    "console.sign_in: none is allowed on a loopback address only. Choose password, oidc or proxy, or "
                    "set GATEWAY_CONSOLE_HOST to 127.0.0.1"
                )
            return SignIn(console.sign_in, console, _hashes(console), token)
        if self._admin:
            return SignIn("password", hashes=self._admin, token=token)
        if token is not None:
            return SignIn("link", token=token)
        if self._host in LOOPBACK:
            return SignIn("none")
        raise BadSettings(
            f"The console would listen on {self._host} without a sign-in. Set GATEWAY_CONSOLE_PASSWORD, describe the "
            "sign-in under `console` in GATEWAY_CONFIG, or set GATEWAY_CONSOLE_HOST to 127.0.0.1"
        )


def _hashes(console: Console) -> dict[str, str]:
    return {
        name: user.password_hash.get_secret_value()
        for name, user in console.users.items()
        if user.password_hash is not None and not is_placeholder(user.password_hash)
    }


def proxied(proxy: SignInProxy, client: str | None, headers: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """The user and groups that a proxy names; None if the request does not come from it, or names no user."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return None
    networks = map(ipaddress.ip_network, proxy.trusted)
    user = headers.get(proxy.user_header.lower(), "").strip()
    if not user or not any(address in network for network in networks):
        return None
    groups = headers.get(proxy.groups_header.lower(), "")
    return user[:200], tuple(each.strip() for each in groups.split(",") if each.strip())
