"""compose.yaml and .env.example: what they set and start exists, and their Redis keeps what it is given."""

import json
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from dotenv import dotenv_values
from typer.testing import CliRunner

from app.cli import cli
from app.commands.settings import environment_name
from app.embedded import RedisBinary
from app.process import STOP_WITHIN_S
from app.sandbox.keys import DEFAULT_KEY
from app.settings import Settings, load_settings
from app.store.connection import open_redis
from app.store.durability import check_durability
from app.subprocesses import start_child, stop_child
from tests.documents import read_yaml
from tests.image.dockerfile import ROOT, Dockerfile
from tests.stack import wait_until

SERVICES: Final[dict[str, dict[str, Any]]] = read_yaml(ROOT / "compose.yaml")["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE: Final = dict(dotenv_values(ROOT / ".env.example"))
SETTINGS: Final = {environment_name(name, field) for name, field in Settings.model_fields.items()}


def test_it_starts_a_gateway_a_worker_a_console_a_redis_and_where_wanted_a_sandbox() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "gateway": None,
        "worker": None,
        "console": None,
        "redis": None,
        "sandbox": ["sandbox"],
    }


def test_all_variables_are_settings() -> None:
    given = {variable for service in OURS.values() for variable in service["environment"]} | set(EXAMPLE)
    assert given - {"COMPOSE_PROFILES"} <= SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_of_ours_with_options_that_exist(name: str) -> None:
    answer = CliRunner().invoke(cli, [*shlex.split(SERVICES[name]["command"]), "--help"])
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("name", OURS)
def test_it_runs_with_as_few_rights_as_it_can(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_WITHIN_S


def test_the_ports_that_are_published_are_the_images_and_open_to_this_machine_alone() -> None:
    ports = [Settings().port, Settings().admin_port]
    assert SERVICES["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    console = Settings().console_port
    assert SERVICES["console"]["ports"] == [f"127.0.0.1:{console}:{console}"]
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"gateway", "console"}
    assert {str(port) for port in (*ports, console)} <= set(Dockerfile.read().final.one("EXPOSE").words)


def test_the_example_is_a_working_set_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**EXAMPLE, **SERVICES["worker"]["environment"]}.items():
        monkeypatch.setenv(variable, str(value))
    settings = load_settings()
    (destination,) = settings.topology().destinations.values()
    assert destination.api_token.get_secret_value() == DEFAULT_KEY.token
    assert destination.base_url == "http://127.0.0.1:8090"  # on the worker's own machine:
    assert SERVICES["sandbox"]["network_mode"] == "service:worker"
    assert settings.redis_url.get_secret_value() == "redis://redis:6379/0"
    assert "redis" in SERVICES


def test_its_redis_can_be_a_valkey() -> None:
    offered = dict(re.findall(r"^# (REDIS_\w+)=(.+)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    redis = json.dumps(SERVICES["redis"])
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", redis))
    assert offered.keys() == defaults.keys()
    for variables, engine in ((defaults, "redis"), (offered, "valkey")):
        service = json.loads(re.sub(r"\$\{(\w+):-[^}]+\}", lambda used: variables[used[1]], redis))  # noqa: B023
        image, _, _ = service["image"].rpartition(":")
        programs = {service["command"].split()[0], service["healthcheck"]["test"][1]}
        assert (image.rpartition("/")[2], programs) == (engine, {f"{engine}-server", f"{engine}-cli"})


async def test_its_redis_starts_so_and_keeps_what_it_is_given(redis_binary: RedisBinary) -> None:
    _, *options = shlex.split(SERVICES["redis"]["command"])
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        socket = Path(folder) / "redis.sock"
        server = start_child(
            [str(redis_binary.path), *options, "--port", "0", "--dir", folder, "--unixsocket", str(socket)]
        )
        try:
            wait_until(socket.exists, "Redis starts")
            redis = open_redis(f"unix://{socket}")
            assert (await check_durability(redis)).problems == ()
            await redis.aclose(close_connection_pool=True)
        finally:
            stop_child(server)
