"""The address of Redis: its valid forms, and the messages about mistakes."""

import pytest

from app.store.url import Cluster, Sentinels, parse_redis_url


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "rediss://:pw@redis.example/1", "unix:///run/redis.sock"])
def test_the_address_of_a_server_stays_as_it_is(url: str) -> None:
    assert parse_redis_url(url) == url


@pytest.mark.parametrize(
    ("url", "sentinels"),
    [
        pytest.param(
            "redis+sentinel://one:26380,two/main",
            Sentinels((("one", 26380), ("two", 26379)), "main"),
            id="several, one without a port",
        ),
        pytest.param(
            "rediss+sentinel://app:p%40ss@one:26379/main/3?sentinel_password=other",
            Sentinels((("one", 26379),), "main", 3, "app", "p@ss", "other", tls=True),
            id="with a user, passwords, a database and TLS",
        ),
        pytest.param(
            "redis+sentinel://[::1]:26380,[::2]/main",
            Sentinels((("::1", 26380), ("::2", 26379)), "main"),
            id="by IPv6",
        ),
    ],
)
def test_sentinels_are_read_from_their_address(url: str, sentinels: Sentinels) -> None:
    assert parse_redis_url(url) == sentinels


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        pytest.param(
            "redis+cluster://one:7000,two",
            Cluster((("one", 7000), ("two", 6379)), "redis://"),
            id="several nodes, one without a port",
        ),
        pytest.param(
            "rediss+cluster://app:p%40ss@[::1]:7000/0?ssl_ca_certs=/ca.pem",
            Cluster((("::1", 7000),), "rediss://app:p%40ss@?ssl_ca_certs=/ca.pem"),
            id="with a user, a password, TLS, an option and the only database",
        ),
    ],
)
def test_a_cluster_is_read_from_its_address(url: str, cluster: Cluster) -> None:
    assert parse_redis_url(url) == cluster


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        pytest.param("http://secret@one", "must begin with redis://", id="another scheme"),
        pytest.param("secret@one:6379", "must begin with redis://", id="no scheme"),
        pytest.param("redis://one:secret", "is not a valid address", id="a port in words"),
        pytest.param("redis+sentinel://:secret@one:26379", "must name the primary", id="no service"),
        pytest.param("redis+sentinel://:secret@one:26379/main/x", "must name the primary", id="a database in words"),
        pytest.param("redis+sentinel://:secret@one:x/main", "must list Sentinels", id="a Sentinel's port in words"),
        pytest.param("redis+sentinel://:secret@one:99999/main", "must list Sentinels", id="a port beyond all ports"),
        pytest.param("redis+sentinel://:secret@/main", "must list Sentinels", id="no Sentinel"),
        pytest.param("redis+cluster://:secret@one:x", "must list nodes of the cluster", id="a node's port in words"),
        pytest.param("redis+cluster://:secret@", "must list nodes of the cluster", id="no node"),
        pytest.param("redis+cluster://:secret@one/1", "must name no database but 0", id="a cluster's database"),
    ],
)
def test_a_bad_address_is_refused_without_its_secret(url: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as refusal:
        parse_redis_url(url)

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["redis+sentinel://:pw1@one/main?sentinel_password=pw2", "redis+cluster://:pw1@one?password=pw2"]
)
def test_passwords_are_not_shown(url: str) -> None:
    shown = repr(parse_redis_url(url))

    assert "pw1" not in shown
    assert "pw2" not in shown
