"""Attentive's contract as something a test can ask: what is wrong with this body on this path?

Two contracts exist. Ours, `openapi/attentive.yaml`, is strict: closed objects, one form for each field. The vendor's
own OpenAPI files are lenient and not part of this repository; a body must pass both.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.documents import read_yaml

OURS: Final = Path(__file__).resolve().parents[2] / "openapi" / "attentive.yaml"
VENDOR: Final = "ATTENTIVE_VENDOR_OPENAPI"  # names the folder with Attentive's own files
VENDOR_FILES: Final = ("attentive-v1-openapi.yaml", "attentive-v2-openapi.yaml")

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


def vendor_folder() -> Path | None:
    """Where a developer has put Attentive's own files, which are not ours to publish. One named on purpose must be."""
    if named := os.environ.get(VENDOR):
        return Path(named)
    beside = OURS.parents[1].parent / "shared" / "reference"
    return beside if all((beside / name).is_file() for name in VENDOR_FILES) else None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `path` includes the server's base path and may hold {placeholders}."""

    method: str
    path: str
    spec: Mapping[str, Any]  # as the document has it: parameters, responses, extensions
    body: Validator | None  # None: the operation takes no JSON body

    @property
    def scopes(self) -> tuple[str, ...]:
        """The permissions an API key needs, all of them. Ours alone; the vendor's files keep them under `security`."""
        return tuple(self.spec["x-attentive-scope"])

    @property
    def calls_per_second(self) -> int:
        """The documented limit of one access token on this path. Ours alone; the vendor's files name no limits."""
        return int(self.spec["x-attentive-calls-per-second"])

    def answers_to(self, path: str) -> bool:
        """Whether `path` is this operation's path, its placeholders filled in or not."""
        return re.fullmatch(re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(self.path)), path) is not None


@dataclass(frozen=True, slots=True)
class Contract:
    """The operations of one or more OpenAPI documents. Loading is cached, and so are the validators."""

    operations: tuple[Operation, ...]

    @classmethod
    def ours(cls) -> Self:
        """The strict contract in this repository."""
        return cls(_load(OURS))

    @classmethod
    def vendor(cls, folder: Path) -> Self:
        """Attentive's own two OpenAPI files, from a folder that holds both; else FileNotFoundError."""
        return cls(tuple(operation for name in VENDOR_FILES for operation in _load(folder / name)))

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation that answers `method` on `path` ("/v1/me"), if there is one."""
        found = (o for o in self.operations if o.method == method.upper() and o.answers_to(path))
        return next(found, None)

    def errors(self, method: str, path: str, body: object) -> list[str]:
        """What is wrong with this call, each as "where: what" ("user.email: '' should be non-empty"); empty when valid.

        The body is judged as the JSON it becomes on the wire; one that becomes none (NaN, a datetime) is an error.
        """
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method.upper()} {path}: the contract has no such operation"]
        if operation.body is None:
            return [] if body is None else [f"{method.upper()} {path}: takes no body"]
        try:
            sent = json.loads(json.dumps(body, allow_nan=False))
        except (TypeError, ValueError) as not_json:
            return [f"body: {not_json}"]
        return sorted(f"{_where(error)}: {_what(error)}" for error in operation.body.iter_errors(sent))


def _where(error: ValidationError) -> str:
    """The place in the body, written as one would in code: "items[0].price"."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return "".join(steps).removeprefix(".") or "body"


def _what(error: ValidationError) -> str:
    """The rule that was broken; of alternatives, the contract's own description, which says it better than they do."""
    described = isinstance(error.schema, Mapping) and error.schema.get("description")
    if described and error.validator in {"anyOf", "oneOf", "not"}:
        return f"breaks the rule: {described}"
    return error.message


@cache
def _load(file: Path) -> tuple[Operation, ...]:
    """Read one OpenAPI document, with a validator for each operation that takes a JSON body."""
    text = file.read_text(encoding="utf-8")
    # The vendor's files are JSON whatever their names end in, and YAML takes seconds to read what JSON reads at once.
    document = json.loads(text) if text.startswith("{") else read_yaml(file)
    if document["openapi"].startswith("3.0"):
        document = _without_nullable(document)
    base_path = urlsplit(document["servers"][0]["url"]).path.rstrip("/")
    return tuple(
        Operation(method.upper(), base_path + path, spec, _body_validator(document, path, method))
        for path, methods in document["paths"].items()
        for method, spec in methods.items()
        if method.upper() in METHODS
    )


def _without_nullable(node: Any) -> Any:
    """OpenAPI 3.0 says `nullable: true` where JSON Schema lists the type "null"; the rest that is used reads alike."""
    if isinstance(node, list):
        return [_without_nullable(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _without_nullable(value) for key, value in node.items()}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        node["type"] = [node["type"], "null"]
        if "enum" in node:
            node["enum"] = [*node["enum"], None]
    return node


def _body_validator(document: dict[str, Any], path: str, method: str) -> Validator | None:
    """A validator for the operation's JSON body: `$ref` is looked up in the document, and formats are checked."""
    body = document["paths"][path][method].get("requestBody", {})
    if "application/json" not in body.get("content", {}):
        return None
    registry = Registry().with_resource("urn:contract", DRAFT202012.create_resource(document))
    steps = ("paths", path, method, "requestBody", "content", "application/json", "schema")
    pointer = "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
    return _Validator(
        {"$ref": f"urn:contract#/{pointer}"}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def _pattern(validator: Validator, pattern: str, text: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """The keyword `pattern` as JSON Schema means it: in Python `$` would also match before a last line feed."""
    if isinstance(text, str) and not re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


_Validator: Final[type[Validator]] = extend(  # type: ignore[no-untyped-call]  # the stubs give it no types
    Draft202012Validator, {"pattern": _pattern}
)
