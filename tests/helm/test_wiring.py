"""What refers to something finds it: selectors pods, ports containers, probes pages, autoscalers their Deployment."""

from pathlib import Path
from typing import Final

import pytest

from app.process import STOP_WITHIN_S
from tests.documents import read_yaml
from tests.fakes import described_api
from tests.helm.cases import CASES
from tests.helm.conftest import Render
from tests.helm.release import Json, Release, component_of, selects
from workers.worker import FINISH_WITHIN

OPENAPI: Final[Json] = read_yaml(Path(__file__).parents[2] / "openapi" / "gateway.yaml")
LONGEST_STOP_S: Final = 10

every_case = pytest.mark.parametrize("name", CASES)


def selected(release: Release, selector: dict[str, str]) -> list[Json]:
    """The pods that run on and have these labels."""
    return [pod for each in release.workloads() if selects(selector, pod := each["spec"]["template"])]


def ports(pod: Json) -> dict[str, int]:
    """By name, those of all its containers."""
    return {port["name"]: port["containerPort"] for each in pod["spec"]["containers"] for port in each.get("ports", [])}


@every_case
def test_every_selector_finds_the_pods_of_one_workload(release: Render, name: str) -> None:
    rendered = release(name)
    selectors = [each["spec"]["selector"]["matchLabels"] for each in rendered.workloads()]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in rendered.all("PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in rendered.all("NetworkPolicy")]
    for each in rendered.all("Service"):
        selectors.append(each["spec"]["selector"])
        (pod,) = selected(rendered, each["spec"]["selector"])
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports(pod).keys()
    for each in rendered.workloads():
        for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert spread["labelSelector"]["matchLabels"] == each["spec"]["selector"]["matchLabels"]
    assert [len(selected(rendered, selector)) for selector in selectors] == [1] * len(selectors)


@every_case
def test_a_probe_asks_a_page_that_the_app_has_at_a_port_that_it_listens_on(release: Render, name: str) -> None:
    served = described_api().openapi()["paths"]
    for component, variable in (("gateway", "GATEWAY_PORT"), ("worker", "GATEWAY_WORKER_PORT")):
        container = release(name).container(component)
        listens_on = next(int(each["value"]) for each in container["env"] if each["name"] == variable)
        numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
        asked = {}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            request = container[kind]["httpGet"]
            assert numbers[request["port"]] == listens_on
            assert request["path"] in served
            asked[kind] = request["path"]
        assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_console_is_a_deployment_of_its_own_that_its_ingress_leads_to(release: Render) -> None:
    assert [each for each in release("default").everything if component_of(each) == "console"] == []
    rendered = release("console behind an ingress")
    container = rendered.container("console")
    assert container["args"] == ["console"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "console"}
    service = rendered.one("Service", "console")
    (rule,) = rendered.one("Ingress", "console")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}


@every_case
def test_ingress_and_route_lead_to_the_gateways(release: Render, name: str) -> None:
    rendered = release(name)
    service = rendered.one("Service", "gateway")
    backends = [
        (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"])
        for each in rendered.all("Ingress")
        if component_of(each) == "gateway"
        for rule in each["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert set(backends) <= {(service["metadata"]["name"], "http")}
    routes = [
        (backend["name"], backend["port"])
        for each in rendered.all("HTTPRoute")
        for rule in each["spec"]["rules"]
        for backend in rule["backendRefs"]
    ]
    assert set(routes) <= {(service["metadata"]["name"], service["spec"]["ports"][0]["port"])}


@every_case
def test_what_is_scaled_is_there_and_has_no_number_of_its_own(release: Render, name: str) -> None:
    rendered = release(name)
    scalers = [each["spec"] for kind in ("HorizontalPodAutoscaler", "ScaledObject") for each in rendered.all(kind)]
    targets = [each["scaleTargetRef"]["name"] for each in scalers]
    assert len(set(targets)) == len(targets), "two autoscalers for one Deployment would fight"
    deployments = {each["metadata"]["name"]: each for each in rendered.all("Deployment")}
    assert {name for name, each in deployments.items() if "replicas" not in each["spec"]} == set(targets)
    for each in scalers:
        least, most = (each.get(f"{end}Replicas", each.get(f"{end}ReplicaCount")) for end in ("min", "max"))
        assert 1 <= least <= most


@every_case
def test_everything_that_is_mounted_is_a_volume_and_no_file_is_mounted_on_its_own(release: Render, name: str) -> None:
    """A file mounted by subPath would stay as it was when its ConfigMap or Secret changes."""
    for pod in release(name).pods():
        claimed = {"data"} if "redis" in str(pod["metadata"].get("labels")) else set()
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])} | claimed
        for container in pod["spec"]["containers"]:
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= volumes
            assert [mount for mount in mounts if "subPath" in mount] == []


@every_case
def test_what_a_pod_refers_to_is_made_or_known_to_be_made_elsewhere(release: Render, name: str) -> None:
    rendered = release(name)
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}
    made |= {("Secret", each["spec"]["target"]["name"]) for each in rendered.all("ExternalSecret")}
    secrets = CASES[name].get("values", {}).get("secrets", {})
    if not (secrets.get("values") or secrets.get("externalSecret")):
        made.add(("Secret", secrets.get("name", rendered.one("Service", "gateway")["metadata"]["name"])))
    made |= {("ConfigMap", "our-config"), ("ConfigMap", "our-ca"), ("ServiceAccount", "default")}
    for pod in rendered.pods():
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in made
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
        account = pod["spec"].get("serviceAccountName", "default")
        assert ("ServiceAccount", account) in made


@pytest.mark.parametrize(("component", "waits"), [("gateway", True), ("worker", False)])
def test_a_pod_has_time_for_its_whole_stop(release: Render, component: str, waits: bool) -> None:
    assert max(STOP_WITHIN_S, FINISH_WITHIN.total_seconds()) < LONGEST_STOP_S
    pod = release("default").one("Deployment", component)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    sleep_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1]) if waits else 0
    assert pod["terminationGracePeriodSeconds"] >= sleep_s + LONGEST_STOP_S + 5
    assert ("lifecycle" in container) is waits, "no proxy sends to a worker"


def test_the_log_of_a_helm_test_can_still_be_read_when_it_has_passed(release: Render) -> None:
    """With `hook-succeeded`, `helm test --logs` ends with "pod not found" (Helm's issue 9098)."""
    (pod,) = [each for each in release("default").all("Pod") if component_of(each) == "test"]
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_one_image_and_the_command_says_what_it_is(release: Render) -> None:
    containers = [release("default").container(component) for component in ("gateway", "worker")]
    assert len({each["image"] for each in containers}) == 1
    assert [each["command"] + each["args"] for each in containers] == [
        ["attentive-gateway", "serve"],
        ["attentive-gateway", "worker"],
    ]


class TestScaling:
    def test_keda_asks_a_page_of_the_gateway_for_a_figure_that_it_has(self, release: Render) -> None:
        rendered = release("keda")
        (trigger,) = rendered.one("ScaledObject")["spec"]["triggers"]
        service = rendered.one("Service", "admin")
        host, _, path = trigger["metadata"]["url"].removeprefix("http://").partition("/")
        assert host == f"{service['metadata']['name']}.marketing.svc:{service['spec']['ports'][0]['port']}"
        assert OPENAPI["paths"]["/" + path]["get"]["operationId"] == "scaling"
        assert trigger["metadata"]["valueLocation"] in OPENAPI["components"]["schemas"]["Scaling"]["required"]
        assert (trigger["metricType"], float(trigger["metadata"]["targetValue"])) == ("AverageValue", 8)

    def test_or_asks_prometheus_for_the_same_figure_of_this_release_alone(self, release: Render) -> None:
        (trigger,) = release("keda by prometheus").one("ScaledObject")["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        assert query.startswith("sum(max by (destination) (gateway_sendable_work_seconds{")
        assert 'namespace="marketing"' in query
        assert 'service=~"attentive-gateway-(admin|worker)"' in query
        assert trigger["metadata"]["threshold"] == "8"

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            pytest.param("keda", "ScaledObject", id="with KEDA by their work"),
            pytest.param("keda absent", "HorizontalPodAutoscaler", id="without it by their CPU"),
            pytest.param("hpa", "HorizontalPodAutoscaler", id="by their CPU when that is wanted"),
            pytest.param("everything", "ScaledObject", id="by their work where the cluster has KEDA"),
        ],
    )
    def test_workers_are_scaled(self, release: Render, name: str, kind: str) -> None:
        scalers = [each for other in ("ScaledObject", "HorizontalPodAutoscaler") for each in release(name).all(other)]
        of_workers = [each for each in scalers if each["spec"]["scaleTargetRef"]["name"].endswith("-worker")]
        assert [each["kind"] for each in of_workers] == [kind]

    def test_while_keda_cannot_find_out_there_are_enough_workers(self, release: Render) -> None:
        spec = release("keda").one("ScaledObject")["spec"]
        assert spec["fallback"]["replicas"] == spec["minReplicaCount"] == 2


class TestMonitoring:
    def test_prometheus_scrapes_gateways_and_workers(self, release: Render) -> None:
        rendered = release("monitoring")
        for component in ("gateway", "worker"):
            monitor = rendered.one("ServiceMonitor", component)
            assert monitor["metadata"]["labels"]["release"] == "prometheus"
            selector = monitor["spec"]["selector"]["matchLabels"]
            services = [each for each in rendered.all("Service") if selects(selector, each)]
            assert len(services) == 1
            (endpoint,) = monitor["spec"]["endpoints"]
            assert endpoint["path"] in OPENAPI["paths"]
            assert endpoint["port"] in [port["name"] for port in services[0]["spec"]["ports"]]

    def test_an_alert_speaks_of_this_release_alone_and_tells_where_to_read_on(self, release: Render) -> None:
        (group,) = release("monitoring").one("PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]:
            assert 'namespace="marketing",service=~"attentive-gateway-(admin|worker)"' in rule["expr"]
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["runbook_url"] == f"https://wiki.example/alerts#{rule['alert'].lower()}"
        assert any(rule["expr"].endswith("> 300") for rule in group["rules"]), "5 minutes of backlog"
        assert not any(rule["alert"] == "AttentiveGatewayRefusals" for rule in group["rules"])


def test_the_syncs_keep_their_state_on_a_volume_that_outlives_the_release(release: Render) -> None:
    assert [each for each in release("default").everything if component_of(each) == "syncs"] == []
    rendered = release("syncs")
    container = rendered.container("syncs")
    assert container["args"] == ["sync", "schedule"]
    (state,) = [each["value"] for each in container["env"] if each["name"] == "GATEWAY_SYNC_STATE"]
    (mount,) = [each for each in container["volumeMounts"] if state.startswith(each["mountPath"])]
    pod = rendered.one("Deployment", "syncs")["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    claim = rendered.one("PersistentVolumeClaim", "syncs")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    own = release("syncs with a claim of their own")
    assert own.all("PersistentVolumeClaim") == []


def test_a_state_in_s3_needs_no_volume(release: Render) -> None:
    rendered = release("syncs with their state in S3")
    assert rendered.all("PersistentVolumeClaim") == []
    container = rendered.container("syncs")
    (state,) = [each["value"] for each in container["env"] if each["name"] == "GATEWAY_SYNC_STATE"]
    assert state == "s3://northpeak/syncs"
    volumes = rendered.one("Deployment", "syncs")["spec"]["template"]["spec"]["volumes"]
    assert {each["name"] for each in volumes} == {each["name"] for each in container["volumeMounts"]}
    (copies,) = [each["name"] for each in container["volumeMounts"] if each["mountPath"] == "/tmp"]
    assert {"name": copies, "emptyDir": {}} in volumes, "a run works on a copy of its state"
