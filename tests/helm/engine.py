"""Renders the chart with the real Helm engine, without a cluster, and says what Kubernetes would think of it.

Runs in a virtual environment of its own (helm-sdkpy needs Python 3.12), so it imports nothing of ours. One question as
JSON on standard input, one answer as JSON on standard output:

    {"chart": PATH, "cases": {NAME: {"values": {…}, "release": …, "namespace": …, "apis": ["keda.sh/v1alpha1", …]}},
     "kubernetes": ["1.27", …]}
    {NAME: {"objects": […], "hooks": […], "notes": TEXT, "invalid": [SENTENCE, …]} or {"error": TEXT}}

helm-sdkpy has no `helm template`, so each case is installed, on something that answers as an empty cluster would and
forgets all it is given; HELM_DRIVER=memory, which must be set from outside, keeps the release itself out of there.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import helm_sdkpy
import kubernetes_validate
import promql_parser
import yaml

Json = dict[str, Any]

BUILT_IN: Final = {
    "v1": ("ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "policy/v1": ("PodDisruptionBudget",),
}
FROM_CRDS: Final = {
    "external-secrets.io/v1": ("ExternalSecret",),
    "gateway.networking.k8s.io/v1": ("HTTPRoute",),
    "keda.sh/v1alpha1": ("ScaledObject",),
    "monitoring.coreos.com/v1": ("PrometheusRule", "ServiceMonitor"),
}


def plural(kind: str) -> str:
    """As Kubernetes spells a kind in its paths."""
    name = kind.lower()
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith("s") else "s")


def discovery(apis: Sequence[str]) -> dict[str, Json]:
    """What a cluster with these APIs says of itself, by path."""
    kinds = BUILT_IN | {api: FROM_CRDS[api] for api in apis}
    pages: dict[str, Json] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    groups = []
    for api in kinds:
        group, slash, version = api.rpartition("/")
        if slash:
            this = {"groupVersion": api, "version": version}
            groups.append({"name": group, "versions": [this], "preferredVersion": this})
        pages[f"/apis/{api}" if slash else f"/api/{api}"] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": api,
            "resources": [
                {"name": plural(kind), "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": ["*"]}
                for kind in kinds[api]
            ],
        }
    pages["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return pages


@contextmanager
def empty_cluster(apis: Sequence[str]) -> Iterator[str]:
    """Something that answers Helm as an empty cluster; its kubeconfig."""
    pages = discovery(apis)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            absent = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self.answer(200 if page else 404, page or absent)

        def do_POST(self) -> None:
            self.answer(201, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, status: int, page: Json) -> None:
            body = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 100  # Helm asks for all APIs at once; beyond the usual 5, a call waits a second

    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "empty", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [{"name": "empty", "context": {"cluster": "empty", "user": "nobody"}}],
                "current-context": "empty",
            }
        )
    finally:
        server.shutdown()
        server.server_close()


def lint(chart: str) -> list[str]:
    """What Helm's own linter has against the chart. It tells the file alone, not the reason."""
    with helm_sdkpy.Configuration() as helm:
        found = asyncio.run(helm_sdkpy.Lint(helm).run(chart))
    severities = {1: "info", 2: "warning", 3: "error"}
    return [f"{severities.get(each['Severity'], '?')}: {each['Path']}" for each in found["Messages"] or []]


def rendered(chart: str, case: Json, versions: Sequence[str]) -> Json:
    """One case."""
    release, namespace = case.get("release", "attentive-gateway"), case.get("namespace", "default")
    with (
        empty_cluster(case.get("apis", list(FROM_CRDS))) as kubeconfig,
        helm_sdkpy.Configuration(namespace=namespace, kubeconfig=kubeconfig) as helm,
    ):
        try:
            made = asyncio.run(
                helm_sdkpy.Install(helm).run(release, chart, values=case.get("values", {}), wait=False, timeout=30)
            )
        except helm_sdkpy.HelmError as failure:
            return {"error": str(failure)}
    objects = [each for each in yaml.safe_load_all(made["manifest"]) if each]
    hooks = [yaml.safe_load(hook["manifest"]) for hook in made.get("hooks") or []]
    return {
        "objects": objects,
        "hooks": hooks,
        "notes": made["info"].get("notes", ""),
        "invalid": [*invalid(objects + hooks, versions), *unreadable(objects)],
    }


def invalid(objects: Sequence[Json], versions: Sequence[str]) -> list[str]:
    """How objects that Kubernetes has itself break its schemas; kinds of others are left out."""
    ours = [json.dumps(each) for each in objects if each["apiVersion"] not in FROM_CRDS]
    return [mistake for each in ours for version in versions for mistake in mistakes(each, version)]


@cache
def mistakes(thing: str, version: str) -> list[str]:
    """Those of one object as JSON. Remembered: most objects are the same in most cases, and a look takes 0.1 s."""
    one = json.loads(thing)
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as mistake:
        where = ".".join(str(step) for step in getattr(mistake, "path", ()))
        return [f"{one['kind']} {one['metadata']['name']}, {version}: {where}: {mistake.message}"]
    return []


def unreadable(objects: Sequence[Json]) -> list[str]:
    """PromQL that Prometheus could not read: of alerts, of the dashboard, of the autoscaler."""
    found = []
    for text in expressions(objects):
        try:
            promql_parser.parse(text)
        except ValueError as mistake:
            found.append(f"{text}: {mistake}")
    return found


def expressions(objects: Sequence[Json]) -> Iterator[str]:
    """Every PromQL expression in these objects, Grafana's variables put in."""
    for each in objects:
        match each["kind"]:
            case "PrometheusRule":
                yield from (rule["expr"] for group in each["spec"]["groups"] for rule in group["rules"])
            case "ScaledObject":
                yield from (one["metadata"]["query"] for one in each["spec"]["triggers"] if one["type"] == "prometheus")
            case "ConfigMap":
                for name, text in each.get("data", {}).items():
                    if name.endswith(".json"):
                        yield from queries(json.loads(text))


def queries(dashboard: Json) -> Iterator[str]:
    """Those of its panels, with Grafana's variables filled in."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "5m")


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    chart, versions = question["chart"], question.get("kubernetes", [])
    answer: Json = {name: rendered(chart, case, versions) for name, case in question["cases"].items()}
    json.dump({"lint": lint(chart), "cases": answer}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
