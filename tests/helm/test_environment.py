"""What reaches a process: every setting, every secret and the config, read by the program's own code."""

from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.commands.settings import environment_name
from app.settings import Settings, load_settings
from helm.generate import SET_BY_THE_CHART, chart_settings
from tests.helm.cases import CONFIG, CONFIG_TEXT, ONE_ACCOUNT, SECRET
from tests.helm.conftest import Render
from tests.helm.release import Release

TEXTS: Final = {  # fields that are any text
    "base_url": "https://api.example.com",
    "default_region": "GB",
    "sandbox_url": "http://127.0.0.1:8090",
    "traces_endpoint": "http://collector.example:4318/v1/traces",
}
COMPONENTS: Final = ("gateway", "worker")


@pytest.fixture(autouse=True)
def only_what_the_pod_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, info in Settings.model_fields.items():
        monkeypatch.delenv(environment_name(name, info), raising=False)
        monkeypatch.delenv(f"{environment_name(name, info)}_FILE", raising=False)


def settings_of(
    release: Release,
    component: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    secret: dict[str, str] | None = None,
) -> Settings:
    """What a pod's process would read."""
    for name, value in release.environment(component, folder, secret).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def another_value(field: str) -> Any:
    """One that is allowed and is not the default."""
    rule = Settings.model_json_schema()["properties"][str(Settings.model_fields[field].validation_alias or field)]
    match rule:
        case {"enum": choices, "default": default}:
            return next(choice for choice in choices if choice != default)
        case {"type": "boolean", "default": default}:
            return not default
        case {"type": "integer", "default": default}:
            return default + 1
        case {"type": "number", "default": default}:
            return default / 2
        case _:
            assert field in TEXTS, f"give {field} a value here"
            return TEXTS[field]


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_setting_has_a_value_that_reaches_its_variable(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, component: str
) -> None:
    wanted = {field: another_value(field) for field in chart_settings()}
    values = {
        "settings": {environment_name(field, Settings.model_fields[field]): value for field, value in wanted.items()},
        "secrets": {"values": ONE_ACCOUNT},
        "existingConfigMap": "our-config",
        "listenAddress": "::",
        "gateway": {"port": 9090},
        "worker": {"port": 9091},
        "console": {"port": 9093},
    }
    rendered = render(values)
    rendered.objects.append({"kind": "ConfigMap", "metadata": {"name": "our-config"}, "data": {}})
    read = settings_of(rendered, component, tmp_path, monkeypatch)
    expected = wanted | {
        "redis_url": SecretStr(ONE_ACCOUNT["GATEWAY_REDIS_URL"]),
        "write_key": SecretStr(ONE_ACCOUNT["GATEWAY_WRITE_KEY"]),
        "api_token": SecretStr(ONE_ACCOUNT["ATTENTIVE_API_TOKEN"]),
        "config": tmp_path / "etc/attentive-gateway/gateway.yaml",
        "host": "::",
        "worker_host": "::",
        "port": 9090,
        "worker_port": 9091,
        "admin_host": "::",
        "admin_port": 8082,
        "console_host": "::",
        "console_port": 9093,
        "console_password": None,  # secrets that only the console reads
        "console_token": None,
        "traces_headers": None,  # a key of the Secret, where the collector wants any
        "sync_state": "data/syncs",  # which only the pod of the syncs has
    }
    assert expected.keys() == Settings.model_fields.keys()
    assert {name: getattr(read, name) for name in expected} == expected


def test_a_setting_that_is_not_given_is_left_to_the_program(
    release: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = settings_of(release("default"), "worker", tmp_path, monkeypatch, ONE_ACCOUNT)
    theirs = {"redis_url", "write_key", "api_token", *SET_BY_THE_CHART}
    usual = {name: info.default for name, info in Settings.model_fields.items() if name not in theirs}
    assert {name: getattr(read, name) for name in usual} == usual
    assert (read.host, read.worker_host) == ("0.0.0.0", "0.0.0.0")


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("name", ["config", "config as text", "existing secret"])
def test_the_config_is_one_that_the_program_reads(
    release: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, component: str
) -> None:
    topology = settings_of(release(name), component, tmp_path, monkeypatch, SECRET).topology()
    assert topology.sources["web-shop"].destination == "acme"
    assert topology.destinations["acme"].api_token.get_secret_value() == SECRET["ACME_TOKEN"]
    if name != "config as text":
        assert topology.sources["web-shop"].events_per_second == 1_000_000
        assert topology.destinations["acme-us"].api_token.get_secret_value() == SECRET["ACME_US_TOKEN"]
        assert topology.destinations["acme"].limits == {"identity": 20}


@pytest.mark.parametrize("name", ["secret of the chart", "secret as files"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_one_account_needs_no_config(
    release: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, component: str
) -> None:
    read = settings_of(release(name), component, tmp_path, monkeypatch)
    assert read.redis_url.get_secret_value() == ONE_ACCOUNT["GATEWAY_REDIS_URL"]
    (destination,) = read.topology().destinations.values()
    assert destination.api_token.get_secret_value() == ONE_ACCOUNT["ATTENTIVE_API_TOKEN"]


def test_as_files_no_secret_is_in_a_variable(release: Render, tmp_path: Path) -> None:
    for component in COMPONENTS:
        variables = release("secret as files").environment(component, tmp_path)
        assert not set(variables.values()) & set(ONE_ACCOUNT.values())
        assert {f"{name}_FILE" for name in ONE_ACCOUNT} <= variables.keys()


def test_as_files_the_consoles_password_is_for_the_console_alone(render: Render, tmp_path: Path) -> None:
    secrets = {"values": {**ONE_ACCOUNT, "GATEWAY_CONSOLE_PASSWORD": "a-password"}, "asEnvironment": False}
    rendered = render({"secrets": secrets, "console": {"enabled": True}})
    variables = {component: rendered.environment(component, tmp_path) for component in (*COMPONENTS, "console")}
    told = [component for component, given in variables.items() if "GATEWAY_CONSOLE_PASSWORD_FILE" in given]
    assert told == ["console"]


def test_the_trial_redis_is_the_one_that_is_used(
    release: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = release("trial")
    service = rendered.one("Service", "redis")
    read = settings_of(rendered, "gateway", tmp_path, monkeypatch)
    port = service["spec"]["ports"][0]["port"]
    assert read.redis_url.get_secret_value() == f"redis://{service['metadata']['name']}:{port}/0"
    arguments = rendered.one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert pairs["--appendonly"] == "yes"
    assert pairs["--appendfsync"] == "always"
    assert pairs["--maxmemory-policy"] == "noeviction"
    assert pairs["--maxmemory"] == "512mb"


@pytest.mark.parametrize(
    ("name", "engine", "image"),
    [
        pytest.param("trial", "redis", "redis:8-alpine", id="Redis by default"),
        pytest.param("trial with Valkey", "valkey", "valkey/valkey:9-alpine", id="or Valkey"),
    ],
)
def test_the_trial_runs_the_engine_that_is_chosen(release: Render, name: str, engine: str, image: str) -> None:
    container = release(name).one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["command"]) == (image, [f"{engine}-server"])
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["exec"]["command"][-1] == f"{engine}-cli ping | grep -q PONG"


@pytest.mark.parametrize(
    ("client", "scheme"),
    [
        pytest.param("10.4.0.9", "https", id="a proxy in the cluster's network is believed"),
        pytest.param("fd12::9", "https", id="by IPv6 too"),
        pytest.param("203.0.113.7", "http", id="the internet is not"),
    ],
)
async def test_a_proxy_that_ends_tls_is_believed(release: Render, client: str, scheme: str) -> None:
    """Else browsers are told to post to http://, see docs/trackers.md."""
    variables = {each["name"]: each.get("value") for each in release("default").container("gateway")["env"]}
    seen = {}

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.update(scope)

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (client, 1),
        "headers": [(b"x-forwarded-proto", b"https")],
    }
    await ProxyHeadersMiddleware(app, variables["FORWARDED_ALLOW_IPS"])(scope, None, None)  # type: ignore[arg-type]
    assert seen["scheme"] == scheme


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_secret_that_does_not_say_where_redis_is_keeps_a_pod_from_starting(release: Render, component: str) -> None:
    """Else it would look for Redis on its own machine."""
    (url,) = (each for each in release("default").container(component)["env"] if each["name"] == "GATEWAY_REDIS_URL")
    assert url["valueFrom"] == {"secretKeyRef": {"name": "attentive-gateway", "key": "GATEWAY_REDIS_URL"}}


class TestAChange:
    def annotations(self, release: Release) -> dict[str, str]:
        template = release.one("Deployment", "worker")["spec"]["template"]
        found: dict[str, str] = template["metadata"].get("annotations", {})
        return found

    def test_of_the_config_is_read_in_place(self, release: Render) -> None:
        assert "checksum/config" not in self.annotations(release("config"))

    def test_of_the_config_replaces_the_pods_when_that_is_wanted(self, render: Render) -> None:
        one, same, other = (
            self.annotations(render({"config": config, "rollOnConfigChange": True, "commonLabels": labels}))
            for config, labels in ((CONFIG, {}), (CONFIG, {"team": "web"}), (CONFIG_TEXT, {}))
        )
        assert one["checksum/config"] == same["checksum/config"] != other["checksum/config"]

    def test_of_a_secret_of_the_chart_replaces_the_pods(self, release: Render) -> None:
        assert "checksum/secrets" in self.annotations(release("trial"))
        assert "checksum/secrets" not in self.annotations(release("existing secret"))
