"""Whatever is asked of the chart, Kubernetes takes the result: every object, in every version, names and labels too."""

import re
from typing import Any, Final

import pytest

from tests.helm.cases import CASES
from tests.helm.conftest import Render
from tests.helm.release import Json, component_of
from tests.helm.shapes import SPECS, mistakes

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")

every_case = pytest.mark.parametrize("name", CASES)


def test_helm_itself_has_nothing_against_the_chart(answer: dict[str, Any]) -> None:
    assert answer["lint"] == ["info: Chart.yaml"], "it recommends an icon"


@every_case
def test_every_object_is_valid_and_every_query_can_be_read(release: Render, name: str) -> None:
    """By `kubernetes-validate --strict` and by Prometheus' own grammar; those of others by the shapes that we use."""
    rendered = release(name)
    assert rendered.everything
    assert rendered.answer["invalid"] == []
    assert [mistake for each in rendered.everything if each["kind"] in SPECS for mistake in mistakes(each)] == []


@every_case
def test_names_and_labels_are_ones_that_kubernetes_takes(release: Render, name: str) -> None:
    for each in release(name).everything:
        metadata = each["metadata"]
        assert NAME.fullmatch(metadata["name"])
        assert len(metadata["name"]) <= 63
        for value in metadata["labels"].values():
            assert LABEL.fullmatch(value)
            assert len(value) <= 63


@every_case
def test_no_two_objects_have_one_name(release: Render, name: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in release(name).everything]
    assert len(set(names)) == len(names)


@every_case
def test_every_object_says_what_it_belongs_to(release: Render, name: str) -> None:
    case = CASES[name]
    for each in release(name).everything:
        if each["metadata"]["name"].endswith("more"):
            continue  # extra objects are as they were given
        labels, namespace = each["metadata"]["labels"], each["metadata"]["namespace"]
        assert labels["app.kubernetes.io/instance"] == case.get("release", "attentive-gateway")
        assert labels["app.kubernetes.io/name"] == "attentive-gateway"
        assert namespace == case.get("namespace", "default")
        assert component_of(each) in ("", "gateway", "admin", "worker", "console", "syncs", "redis", "test")


def test_labels_and_annotations_that_were_asked_for_are_there(release: Render) -> None:
    for each in release("everything").everything:
        if not each["metadata"]["name"].endswith("more"):
            assert each["metadata"]["labels"]["team"] == "marketing"
            assert each["metadata"]["annotations"]["owner"] == "web@example.com"
    for component in ("gateway", "worker"):
        deployment = release("everything").one("Deployment", component)
        assert deployment["metadata"]["labels"]["tier"] == "edge"
        assert deployment["metadata"]["annotations"]["reloader"] == "yes"
        pod = deployment["spec"]["template"]["metadata"]
        assert {"team": "marketing", "sidecar": "no"}.items() <= pod["labels"].items()
        assert pod["annotations"]["prometheus.io/scrape"] == "true"


def test_what_else_a_pod_may_need_is_passed_on(release: Render) -> None:
    for component in ("gateway", "worker"):
        pod = release("everything").one("Deployment", component)["spec"]["template"]["spec"]
        ours, beside = pod["containers"]
        assert beside["name"] == "logs"
        assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in ours["env"]
        assert {"configMapRef": {"name": "more"}} in ours["envFrom"]
        assert "/etc/ssl/our-ca" in [mount["mountPath"] for mount in ours["volumeMounts"]]
        assert "certificates" in [volume["name"] for volume in pod["volumes"]]
        assert [each["name"] for each in pod["initContainers"]] == ["wait"]
        assert pod["nodeSelector"] == {"disk": "ssd"}
        assert pod["tolerations"] == [{"key": "spot", "operator": "Exists"}]
        assert pod["affinity"] == {"nodeAffinity": {}}
        assert pod["priorityClassName"] == "high"
        assert pod["imagePullSecrets"] == [{"name": "registry-login"}]
        assert ours["image"] == "registry.example.com/attentive-gateway@sha256:" + "0" * 64


def test_an_upgrade_of_the_chart_does_not_replace_the_trial_redis(release: Render) -> None:
    template: Json = release("trial").one("StatefulSet")["spec"]["template"]
    assert set(template["metadata"]["labels"]) == {
        f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")
    }
