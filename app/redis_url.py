"""The address of Redis: one server, a Unix socket, or a primary that Sentinel looks after."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

SCHEMES: Final = frozenset({"redis", "rediss", "unix"})
_OF_SENTINEL: Final = frozenset({"redis+sentinel", "rediss+sentinel"})
SENTINEL_PORT: Final = 26379
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where to ask for the primary called `service`, and how to sign in there once it is known."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False


def parse_redis_url(url: str) -> Sentinels | str:
    """The Sentinels that the address names, or the address itself where it names a server.

    `redis+sentinel://[user:password@]host[:port],host[:port]/service[/database][?sentinel_password=…]`, or with
    `rediss` for TLS. Raises ValueError, whose text holds no secret.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES | _OF_SENTINEL or not rest:
        raise ValueError("must begin with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://")
    if scheme in SCHEMES:
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("is no address: look at its host and port") from None
        return url
    authority, _, path = rest.partition("?")[0].partition("/")
    credentials, _, hosts = authority.rpartition("@")
    service, _, database = path.partition("/")
    if not service or not (database or "0").isdecimal():
        raise ValueError("must name the primary as Sentinel knows it: redis+sentinel://host:26379/mymaster/0")
    username, _, password = credentials.partition(":")
    given = parse_qs(rest.partition("?")[2]).get("sentinel_password", [None])[0]
    return Sentinels(
        hosts=tuple(_host(one) for one in hosts.split(",")),
        service=unquote(service),
        database=int(database or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=given,
        tls=scheme.startswith("rediss"),
    )


def _host(text: str) -> tuple[str, int]:
    name, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):  # no port, or the colons of an IPv6 address
        name, port = text, str(SENTINEL_PORT)
    if not name or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise ValueError("must list Sentinels as host:port, separated by commas")
    return name.strip("[]"), int(port)
