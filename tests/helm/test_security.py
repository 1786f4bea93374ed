"""No pod can do more than it must: the restricted Pod Security Standard, no token, no road that it need not take."""

from typing import Any, Final

import pytest

from tests.helm.cases import CASES
from tests.helm.conftest import Render
from tests.helm.release import Json, Release, component_of, containers, selects

OURS: Final = ("gateway", "worker", "console", "syncs", "redis", "post-event")

every_case = pytest.mark.parametrize("name", CASES)


@every_case
def test_every_pod_meets_the_restricted_standard(release: Render, name: str) -> None:
    for pod in release(name).pods():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        kinds = {kind for volume in pod["spec"].get("volumes", []) for kind in volume} - {"name"}
        assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
        for container in containers(pod):
            if container["name"] in OURS:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }


@every_case
def test_no_pod_is_given_what_it_does_not_need(release: Render, name: str) -> None:
    for pod in release(name).pods():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False, "a Service named gateway would set GATEWAY_PORT"


def test_our_pods_run_as_the_user_of_the_image(release: Render) -> None:
    for component in ("gateway", "worker"):
        context = release("default").one("Deployment", component)["spec"]["template"]["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001)


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_a_drain_of_nodes_never_takes_all_pods(release: Render, component: str) -> None:
    budget = release("default").one("PodDisruptionBudget", component)["spec"]
    assert budget["maxUnavailable"] == 1
    assert release("default").one("Deployment", component)["spec"]["replicas"] > 1
    assert release("minimal").all("PodDisruptionBudget") == []


@every_case
def test_no_secret_stands_in_a_config_map_or_a_pod(release: Render, name: str) -> None:
    given = CASES[name].get("values", {}).get("secrets", {}).get("values", {}).values()
    shown = str([each for each in release(name).everything if each["kind"] != "Secret"])
    assert [secret for secret in given if secret in shown] == []


def egress(release: Release, component: str) -> dict[tuple[int, ...], Any]:
    """Where a component's pods may go, by ports."""
    policy = release.one("NetworkPolicy", component)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    return {
        tuple(sorted({port["port"] for port in rule["ports"]})): rule.get("to") for rule in policy.get("egress", [])
    }


class TestWithANetworkPolicy:
    def test_gateways_reach_redis_and_dns(self, release: Render) -> None:
        allowed = egress(release("network policy"), "gateway")
        assert allowed.keys() == {(53,), (6380,)}
        assert allowed[6380,] == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]

    def test_workers_reach_the_internet_on_443_too_but_no_private_network(self, release: Render) -> None:
        allowed = egress(release("network policy"), "worker")
        assert allowed.keys() == {(53,), (6380,), (443,)}
        v4, v6 = (block["ipBlock"] for block in allowed[443,])
        assert (v4["cidr"], v6["cidr"]) == ("0.0.0.0/0", "::/0")
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(v4["except"])
        assert "fc00::/7" in v6["except"]

    @pytest.mark.parametrize(("component", "ports"), [("gateway", ["http", "admin"]), ("worker", ["health"])])
    def test_pods_are_called_on_their_ports_alone(self, release: Render, component: str, ports: list[str]) -> None:
        rules = release("network policy").one("NetworkPolicy", component)["spec"]["ingress"]
        assert [rule["ports"] for rule in rules] == [[{"port": port, "protocol": "TCP"}] for port in ports]
        assert all(rule["from"] for rule in rules)

    def test_the_console_is_called_on_its_port_and_reaches_redis_and_the_internet(self, release: Render) -> None:
        rendered = release("console behind an ingress")
        (rule,) = rendered.one("NetworkPolicy", "console")["spec"]["ingress"]
        assert rule["ports"] == [{"port": "console", "protocol": "TCP"}]
        assert rule["from"]
        assert egress(rendered, "console").keys() == {(53,), (6379,), (443,)}

    def test_a_helm_test_reaches_the_gateways_whoever_else_may(self, release: Render) -> None:
        rendered = release("network policy")
        rule, _ = rendered.one("NetworkPolicy", "gateway")["spec"]["ingress"]
        (pod,) = [each for each in rendered.all("Pod") if component_of(each) == "test"]
        assert [
            peer for peer in rule["from"] if "podSelector" in peer and selects(peer["podSelector"]["matchLabels"], pod)
        ]

    def test_and_the_trial_redis_everybody_meets_there(self, release: Render) -> None:
        rendered = release("network policy and trial")
        for component in ("gateway", "worker"):
            ((peer,),) = [to for ports, to in egress(rendered, component).items() if ports == (6379,)]
            assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "redis"

    @pytest.mark.parametrize(
        ("name", "ours"),
        [
            ("trial", ["gateway", "worker"]),
            ("network policy and trial", ["gateway", "worker"]),
            ("everything", ["gateway", "worker", "console"]),
        ],
    )
    def test_the_trial_redis_is_for_our_pods_alone_always(self, release: Render, name: str, ours: list[str]) -> None:
        policy = release(name).one("NetworkPolicy", "redis")["spec"]
        (rule,) = policy["ingress"]
        callers: list[Json] = [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
        assert [caller["app.kubernetes.io/component"] for caller in callers] == ours
        assert "egress" not in policy


def test_without_one_there_is_none(release: Render) -> None:
    assert [component_of(each) for each in release("default").all("NetworkPolicy")] == []
