"""The configuration that Redis keeps for commands: everything but secrets, and readable again."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from pydantic import BaseModel, SecretStr

from app.config.alerts import Alerts
from app.config.applied import SECRETS, from_json, to_json
from app.config.bad_settings import BadSettings
from app.config.destination import Destination
from app.config.source import Source
from app.config.sync import Sync
from app.config.topology import load_file

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = """
destinations:
  acme: {api_token: inline-token, default_region: CA, limits: {identity: 20}}
  beta: {api_token_env: BETA_TOKEN}
  gamma: {api_token: {file: FOLDER/token}}
sources:
  web: {write_key: inline-key, destination: acme}
  app: {write_keys: [{key: list-key-1}, {key: {env: APP_KEY}, retiring: true}], destination: beta}
  hook:
    write_key: hook-key
    destination: gamma
    trust: signed
    signing: {scheme: segment, secrets: [inline-signing-secret, {env: SIGNING}]}
alerts:
  channels: {team: {url: "slack://inline-webhook"}, on-call: {url_env: ON_CALL}}
  heartbeat: https://hc.example/inline-heartbeat
console:
  sign_in: password
  users: {ada: {password_hash: "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"}}
"""
INLINE = (
    "inline-token",
    "inline-key",
    "list-key-1",
    "hook-key",
    "inline-signing-secret",
    "argon2id",
    "inline-webhook",
    "inline-heartbeat",
)
ELSEWHERE = (
    "pagerduty://in-a-variable",
    "token-in-a-file",
    "token-in-a-variable",
    "key-in-a-variable",
    "secret-in-a-variable",
)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    (tmp_path / "token").write_text("token-in-a-file")
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.replace("FOLDER", str(tmp_path)))
    with monkeypatch.context() as here:
        here.setenv("BETA_TOKEN", "token-in-a-variable")
        here.setenv("APP_KEY", "key-in-a-variable")
        here.setenv("ON_CALL", "pagerduty://in-a-variable")
        here.setenv("SIGNING", "secret-in-a-variable")
        loaded = load_file(file)
    return to_json(loaded, {"journal_entries": 7}, at=AT, release="1.2.3")


@pytest.mark.parametrize("secret", [*INLINE, *ELSEWHERE])
def test_no_secret_is_stored(secret: str, stored: bytes) -> None:
    assert secret.encode() not in stored


def test_all_else_can_be_read_again(stored: bytes) -> None:
    applied = from_json(stored)
    topology = applied.topology
    assert (applied.at, applied.release, applied.limits) == (AT, "1.2.3", {"journal_entries": 7})
    assert {name: source.destination for name, source in topology.sources.items()} == {
        "web": "acme",
        "app": "beta",
        "hook": "gamma",
    }
    acme = topology.destinations["acme"]
    assert (acme.default_region, acme.limits) == ("CA", {"identity": 20})
    assert [key.retiring for key in topology.sources["app"].write_keys] == [False, True]
    assert topology.console is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"v": 99}, id="another version"),
        pytest.param({"document": {"destinations": {"acme": {"api_token": "t", "unheard_of": 1}}}}, id="other keys"),
        pytest.param({"at": "soon"}, id="a time that is none"),
    ],
)
def test_what_another_release_stored_is_refused_with_its_name(change: dict[str, Any], stored: bytes) -> None:
    with pytest.raises(BadSettings, match=re.escape("by release 1.2.3")):
        from_json(orjson.dumps(orjson.loads(stored) | change))


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"null"])
def test_damage_is_refused(damage: bytes) -> None:
    with pytest.raises(BadSettings):
        from_json(damage)


def secret_places(model: type[BaseModel], place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where a model, or one that it contains, has a secret."""
    for name, field in model.model_fields.items():
        for each, deeper in parts_of(field.annotation):
            below = (*place, name, *deeper)
            if isinstance(each, type) and issubclass(each, SecretStr):
                yield below
            elif isinstance(each, type) and issubclass(each, BaseModel):
                yield from secret_places(each, below)


def parts_of(annotation: Any, deeper: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    yield annotation, deeper
    origin = getattr(annotation, "__origin__", None)
    for each in get_args(annotation):
        yield from parts_of(each, (*deeper, "*") if origin in (tuple, list, dict) else deeper)


def test_every_secret_of_the_models_is_known_as_one() -> None:
    places = {
        *secret_places(Destination, ("destinations", "*")),
        *secret_places(Source, ("sources", "*")),
        *secret_places(Sync, ("syncs", "*")),
        *secret_places(Alerts, ("alerts",)),
    }
    short = {("sources", "*", "write_key"), ("sources", "*", "write_keys", "*")}  # of write_keys.*.key
    assert places == SECRETS - short
