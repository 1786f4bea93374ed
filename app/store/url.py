"""The address of Redis: one server, a Unix socket, a primary behind Sentinel, or a cluster."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

SCHEMES: Final = frozenset({"redis", "rediss", "unix"})
_OF_SENTINEL: Final = frozenset({"redis+sentinel", "rediss+sentinel"})
_OF_CLUSTER: Final = frozenset({"redis+cluster", "rediss+cluster"})
SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where to ask for the primary called `service`, and how to sign in to it."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes of a cluster, which know all others. `options` is an address with what every connection needs."""

    nodes: tuple[tuple[str, int], ...]
    options: str = field(default="redis://", repr=False)  # scheme, user, password and query


def parse_redis_url(url: str) -> Sentinels | Cluster | str:
    """The Sentinels or the cluster that the address names, or the address itself if it names a server.

    `redis+sentinel://[user:password@]host[:port],host[:port]/service[/database][?sentinel_password=…]`,
    `redis+cluster://[user:password@]host[:port],host[:port]`, or with `rediss` for TLS. Raises ValueError with a text
    that contains no secret. To each form, `password_file=/path` may be added, whose file is read for each connection.
    """
    url, _, _ = without_password_file(url)
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES | _OF_SENTINEL | _OF_CLUSTER or not rest:
        raise ValueError(
            "must begin with redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// "
            "or rediss+cluster://"
        )
    if scheme in _OF_CLUSTER:
        return _cluster(scheme.removesuffix("+cluster"), rest)
    if scheme in SCHEMES:
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("is not a valid address: check the host and port") from None
        return url
    authority, _, path = rest.partition("?")[0].partition("/")
    credentials, _, hosts = authority.rpartition("@")
    service, _, database = path.partition("/")
    if not service or not (database or "0").isdecimal():
        raise ValueError("must name the primary as Sentinel knows it: redis+sentinel://host:26379/mymaster/0")
    username, _, password = credentials.partition(":")
    given = parse_qs(rest.partition("?")[2]).get("sentinel_password", [None])[0]
    return Sentinels(
        hosts=tuple(_host(one, SENTINEL_PORT, "Sentinels") for one in hosts.split(",")),
        service=unquote(service),
        database=int(database or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=given,
        tls=scheme.startswith("rediss"),
    )


def without_password_file(url: str) -> tuple[str, str | None, str | None]:
    """The address without `password_file=…` in its query, the file and the user.

    With such a file, the address has no password and no user. An address without one stays as it is.
    """
    place, _, query = url.partition("?")
    file = parse_qs(query).get("password_file", [None])[0]
    if file is None:
        return url, None, None
    scheme, separator, rest = place.partition("://")
    credentials, _, hosts = rest.rpartition("@")
    others = "&".join(part for part in query.split("&") if not part.startswith("password_file="))
    return (
        f"{scheme}{separator}{hosts}{'?' if others else ''}{others}",
        file,
        unquote(credentials.partition(":")[0]) or None,
    )


def _cluster(scheme: str, rest: str) -> Cluster:
    place, mark, query = rest.partition("?")
    authority, _, database = place.partition("/")
    if database not in {"", "0"}:
        raise ValueError("must name no database but 0: a cluster has no other")
    credentials, at, hosts = authority.rpartition("@")
    nodes = tuple(_host(one, REDIS_PORT, "nodes of the cluster") for one in hosts.split(","))
    return Cluster(nodes, f"{scheme}://{credentials}{at}{mark}{query}")


def _host(text: str, default_port: int, what: str) -> tuple[str, int]:
    name, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):  # without a port, or the colons of an IPv6 address
        name, port = text, str(default_port)
    if not name or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise ValueError(f"must list {what} as host:port, separated by commas")
    return name.strip("[]"), int(port)
