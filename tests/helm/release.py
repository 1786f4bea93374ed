"""One rendered release, and the questions that tests ask of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """What the engine answered."""

    answer: Json

    @property
    def error(self) -> str:
        """Why nothing was rendered; empty when all is well."""
        return str(self.answer.get("error", ""))

    @property
    def notes(self) -> str:
        """What an operator reads after the installation."""
        return str(self.answer["notes"])

    @property
    def objects(self) -> list[Json]:
        """Everything that is installed."""
        assert not self.error, self.error
        found: list[Json] = self.answer["objects"]
        return found

    @property
    def everything(self) -> list[Json]:
        """The same, with the pod of `helm test`."""
        return [*self.objects, *self.answer["hooks"]]

    def all(self, kind: str) -> list[Json]:
        """Every object of a kind."""
        return [each for each in self.everything if each["kind"] == kind]

    def one(self, kind: str, component: str = "") -> Json:
        """The only object of a kind, or of a kind and a component."""
        found = [each for each in self.all(kind) if not component or component_of(each) == component]
        assert len(found) == 1, f"{len(found)} of {kind} {component}"
        return found[0]

    def workloads(self) -> list[Json]:
        """What makes pods that run on."""
        return [each for kind in ("Deployment", "StatefulSet") for each in self.all(kind)]

    def pods(self) -> list[Json]:
        """Every pod there will be: metadata and spec."""
        return [each["spec"]["template"] for each in self.workloads()] + self.all("Pod")

    def container(self, component: str) -> Json:
        """The first container of a Deployment."""
        found: Json = self.one("Deployment", component)["spec"]["template"]["spec"]["containers"][0]
        return found

    def environment(self, component: str, folder: Path, secret: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a pod, as its process would see them. What it would find mounted is written to `folder`.

        `secret` stands for a Secret that the release does not make itself.
        """
        container, pod = self.container(component), self.one("Deployment", component)["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        variables: dict[str, str] = {}
        for source in container.get("envFrom", []):
            variables |= self._data("Secret", source["secretRef"]["name"], secret)
        for each in container["env"]:
            if "value" in each:
                variables[each["name"]] = each["value"]
            else:
                key = each["valueFrom"]["secretKeyRef"]
                variables[each["name"]] = self._data("Secret", key["name"], secret)[key["key"]]
        for path, volume in mounts.items():
            files: dict[str, str] = {}
            if "secret" in volume:
                files = self._data("Secret", volume["secret"]["secretName"], secret)
            elif "configMap" in volume:
                files = self._data("ConfigMap", volume["configMap"]["name"], None)
            for name, text in files.items():
                file = folder / path.lstrip("/") / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text.replace("/run/secrets", f"{folder}/run/secrets"))
        return {
            name: f"{folder}{value}" if value.startswith(tuple(mounts)) else value for name, value in variables.items()
        }

    def _data(self, kind: str, name: str, absent: Mapping[str, str] | None) -> dict[str, str]:
        for each in self.all(kind):
            if each["metadata"]["name"] == name:
                return dict(each.get("stringData") or each.get("data") or {})
        assert absent is not None, f"nothing makes the {kind} {name}"
        return dict(absent)


def component_of(thing: Json) -> str:
    """gateway, worker, redis, test, or empty."""
    return str(thing["metadata"]["labels"].get("app.kubernetes.io/component", ""))


def selects(selector: Mapping[str, str], thing: Json) -> bool:
    """Whether a selector finds this object or pod."""
    labels: Json = thing["metadata"]["labels"]
    return selector.items() <= labels.items()


def containers(pod: Json) -> Iterator[Json]:
    """All containers of a pod."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]
