"""Values that cannot be right end the installation with a sentence that names them; the notes tell what to do next."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import pytest
import yaml

from app import __version__
from tests.helm.cases import CONFIG, ONE_ACCOUNT, STORE, worker_scaling
from tests.helm.conftest import CHART, Render, ask
from tests.helm.release import Release

SOURCE = {"web": {"write_key_env": "WEB", "destination": "acme"}}
DESTINATION = {"acme": {"api_token_env": "ACME"}}
TWO_WAYS = {"values": ONE_ACCOUNT, "externalSecret": {"enabled": True}}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt name": ({"gatway": {}}, "additional properties 'gatway' not allowed"),
    "a misspelt name further down": ({"gateway": {"replicaz": 3}}, "at '/gateway': additional properties 'replicaz'"),
    "text for a number": ({"worker": {"replicas": "two"}}, "at '/worker/replicas': got string, want integer"),
    "a misspelt setting": ({"settings": {"GATEWAY_CONCURENCY": 1}}, "additional properties 'GATEWAY_CONCURENCY'"),
    "a setting out of bounds": (
        {"settings": {"GATEWAY_MAX_MEMORY_SHARE": 1.5}},
        "at '/settings/GATEWAY_MAX_MEMORY_SHARE': maximum: got 1.5, want 1",
    ),
    "a setting that is none of the words": (
        {"settings": {"GATEWAY_LOG_LEVEL": "LOUD"}},
        "at '/settings/GATEWAY_LOG_LEVEL': value must be one of 'DEBUG', 'INFO'",
    ),
    "a setting of another kind": (
        {"settings": {"GATEWAY_REQUIRE_DURABLE_REDIS": "yes"}},
        "at '/settings/GATEWAY_REQUIRE_DURABLE_REDIS': got string, want null or boolean",
    ),
    "a secret among the settings": ({"settings": {"GATEWAY_WRITE_KEY": "x"}}, "'GATEWAY_WRITE_KEY' not allowed"),
    "a port that the pod may not open": ({"gateway": {"port": 80}}, "at '/gateway/port': minimum: got 80, want 1,024"),
    "no worker at all": (worker_scaling(minReplicas=0), "at '/worker/autoscaling/minReplicas': minimum: got 0, want 1"),
    "more work than a pod can do": (
        worker_scaling(keda={"targetSeconds": 60}),
        "targetSeconds': maximum: got 60, want 10",
    ),
    "a budget that lets no node be drained": (
        {"gateway": {"podDisruptionBudget": {"maxUnavailable": 0}}},
        "at '/gateway/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1",
    ),
    "such a budget as a share": (
        {"worker": {"podDisruptionBudget": {"maxUnavailable": "0%"}}},
        "at '/worker/podDisruptionBudget/maxUnavailable': '0%' does not match pattern",
    ),
    "a gateway that is killed before it has stopped": (
        {"gateway": {"preStopSeconds": 25}},
        "gateway.terminationGracePeriodSeconds: a stop takes up to 35 s, and would be cut short",
    ),
    "more pods at least than at most": (
        worker_scaling(minReplicas=20),
        "worker.autoscaling: minReplicas is more than maxReplicas",
    ),
    "an autoscaler that does not exist": (worker_scaling(kind="vpa"), "one of 'auto', 'keda', 'hpa'"),
    "an ingress without a host": ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one host"),
    "a route without a gateway": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
    "prometheus without its address": (
        worker_scaling(kind="keda", keda={"trigger": "prometheus"}),
        "worker.autoscaling.keda.prometheus.serverAddress: needed",
    ),
    "a config that is no YAML": ({"config": "destinations: ["}, "config: is no YAML of destinations and sources"),
    "a config without sources": ({"config": {"destinations": DESTINATION}}, "config.sources: must be there"),
    "a destination without settings": (
        {"config": {"destinations": {"acme": None}, "sources": SOURCE}},
        "config.destinations.acme: must have settings",
    ),
    "a token in the config": (
        {"config": {"destinations": {"acme": {"api_token": "s3cret"}}, "sources": SOURCE}},
        "config.destinations.acme.api_token: a secret must not stand here; give api_token_env or api_token_file",
    ),
    "a write key in the config": (
        {"config": {"destinations": DESTINATION, "sources": {"web": {"write_key": "s3cret"}}}},
        "config.sources.web.write_key: a secret must not stand here",
    ),
    "one of several write keys in the config": (
        {"config": {"destinations": DESTINATION, "sources": {"web": {"write_keys": [{"key": "s3cret"}]}}}},
        "config.sources.web.write_keys: a secret must not stand here",
    ),
    "a signing secret in the config": (
        {"config": {"destinations": DESTINATION, "sources": {"web": {"signing": {"secrets": ["s3cret"]}}}}},
        "config.sources.web.signing.secrets: a secret must not stand here",
    ),
    "a token in a config of text": (
        {"config": "destinations: {acme: {api_token: s3cret}}\nsources: {web: {write_key_env: WEB}}"},
        "config.destinations.acme.api_token: a secret must not stand here",
    ),
    "a state of syncs in a store that cannot compare": (
        {"config": CONFIG, "syncs": {"enabled": True, "stateUrl": "gs://northpeak/syncs"}},
        "syncs.stateUrl: must begin with s3://",
    ),
    "a state of syncs in two places": (
        {
            "config": CONFIG,
            "syncs": {"enabled": True, "stateUrl": "s3://northpeak/syncs", "persistence": {"existingClaim": "rows"}},
        },
        "syncs.persistence.existingClaim: the state is either on a volume or at syncs.stateUrl",
    ),
    "two configs": ({"config": CONFIG, "existingConfigMap": "other"}, "exclude each other"),
    "a secret that does not say where Redis is": (
        {"secrets": {"values": {"GATEWAY_WRITE_KEY": "x"}}},
        "secrets.values.GATEWAY_REDIS_URL: give the address of Redis, or set redis.trial.enabled",
    ),
    "two ways to make the secret": (
        {"secrets": TWO_WAYS},
        "secrets.values and secrets.externalSecret exclude each other",
    ),
    "a key that is no variable": (
        {"secrets": {"values": ONE_ACCOUNT | {"write-key": "x"}}},
        "secrets.values.write-key: a key is a variable",
    ),
    "an external secret from nowhere": (
        {"secrets": {"externalSecret": {"enabled": True, "dataFrom": [{}]}}},
        "secrets.externalSecret.storeRef: name the store",
    ),
    "an external secret of nothing": (
        {"secrets": {"externalSecret": {"enabled": True, "storeRef": STORE}}},
        "give data or dataFrom",
    ),
}


@pytest.fixture(scope="module")
def errors() -> dict[str, str]:
    cases = ask({name: {"values": values} for name, (values, _) in BAD.items()})["cases"]
    return {name: Release(case).error for name, case in cases.items()}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_refused_with_a_sentence_that_names_them(errors: dict[str, str], name: str) -> None:
    assert BAD[name][1] in errors[name]
    assert "s3cret" not in errors[name]


ROOT: Final = CHART.parent.parent
SET: Final = re.compile(r"--set ([\w.]+)=(\S*)")
PAGES: Final = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), CHART / "README.md")
    if SET.search(page.read_text(encoding="utf-8"))
]


def given(page: Path) -> dict[str, Any]:
    """All that the page's commands say with --set."""
    values: dict[str, Any] = {}
    for path, text in SET.findall(page.read_text(encoding="utf-8")):
        *above, name = path.split(".")
        part = values
        for step in above:
            part = part.setdefault(step, {})
        part[name] = text == "true" or text
    return values


class TestWhatTheDocumentsShow:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_on_the_command_line_is_taken(self, render: Render, page: Path) -> None:
        assert given(page)
        assert render(given(page)).answer["invalid"] == []

    def test_as_a_file_of_values_is_taken(self, render: Render) -> None:
        readme = (CHART / "README.md").read_text(encoding="utf-8")
        (shown,) = re.findall(r"^`values.yaml`:\n\n((?:    .*\n)+)", readme, re.MULTILINE)
        rendered = render(yaml.safe_load(dedent(shown)))
        assert rendered.answer["invalid"] == []
        kinds = {each["kind"] for each in rendered.objects}
        assert {"ConfigMap", "Ingress", "ScaledObject", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"} <= kinds


class TestTheNotes:
    def test_tell_which_secret_is_waited_for(self, release: Render) -> None:
        notes = release("default").notes
        assert "kubectl create secret generic attentive-gateway --namespace default" in notes
        for key in ONE_ACCOUNT:
            assert f"--from-literal={key}=" in notes
        assert "http://attentive-gateway.default.svc/v1/track" in notes
        assert "helm test attentive-gateway" in notes

    def test_tell_that_the_image_has_to_be_put_somewhere(self, release: Render) -> None:
        assert f"Its image, attentive-gateway:{__version__}, is in no public registry" in release("default").notes
        assert "registry" not in release("everything").notes

    def test_are_silent_about_a_secret_that_is_made(self, release: Render) -> None:
        for name in ("secret of the chart", "external secret"):
            assert "kubectl create secret" not in release(name).notes

    def test_tell_the_addresses_that_trackers_post_to(self, release: Render) -> None:
        assert "https://gateway.example.com/v1/track" in release("ingress").notes
        assert "https://gateway.example.com/v1/track" in release("http route").notes
        assert "http://attentive-gateway.default.svc:8443/v1/track" in release("load balancer").notes

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            pytest.param("keda", "by KEDA", id="by their work"),
            pytest.param("keda absent", "follow their CPU", id="by their CPU"),
            pytest.param("default", "There are 2 workers", id="not at all"),
        ],
    )
    def test_tell_how_workers_are_scaled(self, release: Render, name: str, said: str) -> None:
        assert said in release(name).notes

    def test_warn_of_what_is_for_trials(self, release: Render) -> None:
        assert "no replica and no password." in release("trial").notes
        assert "what waits is lost" in release("trial without a volume").notes
        assert "WARNING" not in release("existing secret").notes


def test_the_image_is_the_charts_own_version_unless_another_is_named(render: Render, release: Render) -> None:
    assert release("default").container("gateway")["image"] == f"attentive-gateway:{__version__}"
    rendered = render({"image": {"tag": "edge"}})
    assert rendered.container("worker")["image"] == "attentive-gateway:edge"
    assert rendered.container("gateway")["image"] == "attentive-gateway:edge"
