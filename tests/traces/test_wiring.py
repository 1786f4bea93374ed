"""Traces that are off import nothing, and traces that cannot be on state what is missing."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from app.config.bad_settings import BadSettings
from app.settings import load_settings
from app.wiring.traces import tracing_of
from tests.waiting import patient

# As if the extra were not installed.
WITHOUT_THE_EXTRA = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith(("opentelemetry.proto", "google.protobuf")):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""
START_BOTH = """
import asyncio
from app.main import create_app
from app.settings import load_settings
from workers.worker import WorkerProcess

async def main():
    settings = load_settings(write_key="key", api_token="token", **OPTIONS)
    create_app(settings)
    WorkerProcess(settings)

asyncio.run(main())
"""


def run(code: str, **options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code.replace("OPTIONS", repr(options))],
        capture_output=True,
        text=True,
        timeout=patient(60),
    )


def test_without_the_extra_a_gateway_and_a_worker_are_made_as_ever() -> None:
    result = run(WITHOUT_THE_EXTRA + START_BOTH)
    assert result.returncode == 0, result.stderr[-2000:]


def test_off_imports_nothing_of_the_extra() -> None:
    check = "\nprint([name for name in sys.modules if name.startswith(('opentelemetry.proto', 'google.protobuf'))])"
    result = run("import sys\n" + START_BOTH + check)
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr[-2000:]


def test_without_the_extra_an_endpoint_is_refused_with_what_to_do() -> None:
    result = run(WITHOUT_THE_EXTRA + START_BOTH, traces_endpoint="http://127.0.0.1:4318")
    assert result.returncode == 1
    assert "pip install 'attentive-gateway[otel]'" in result.stderr


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        pytest.param("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", id="a base address"),
        pytest.param("https://c.example/otlp/", "https://c.example/otlp/v1/traces", id="with a path"),
        pytest.param("https://c.example/v1/traces", "https://c.example/v1/traces", id="the whole address"),
    ],
)
def test_the_path_of_otlp_is_appended(given: str, endpoint: str) -> None:
    assert load_settings(traces_endpoint=given).traces_endpoint == endpoint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"traces_endpoint": "127.0.0.1:4318"}, "address of a collector", id="without a scheme"),
        pytest.param({"traces_endpoint": "grpc://c.example:4317"}, "address of a collector", id="of gRPC"),
        pytest.param({"traces_endpoint": "https://u:p@c.example"}, "GATEWAY_TRACES_HEADERS", id="with a password"),
        pytest.param({"traces_headers": "Bearer s3cr3t"}, "headers such as", id="a header without a name"),
        pytest.param({"traces_headers": "a=b%0d%0ac"}, "printable", id="a header with a line feed"),
        pytest.param({"traces_share": 1.5}, "GATEWAY_TRACES_SHARE", id="a share above one"),
    ],
)
def test_a_mistake_names_the_setting_and_the_rule(settings: dict[str, str], words: str) -> None:
    with pytest.raises(BadSettings, match=words) as mistake:
        load_settings(**settings)
    assert "s3cr3t" not in str(mistake.value)


def test_headers_are_decoded() -> None:
    settings = load_settings(traces_headers="authorization=Bearer%20abc, x-team=shop")
    assert settings.headers_of_traces() == {"authorization": "Bearer abc", "x-team": "shop"}


def test_without_an_endpoint_there_is_nothing() -> None:
    assert tracing_of(load_settings(), CollectorRegistry(), service="gateway") is None
