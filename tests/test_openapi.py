"""openapi/gateway.yaml: it is what the code would say now, a valid document, and tells of everything that is served."""

import re
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from typer.testing import CliRunner

from app.cli import cli
from app.commands.openapi import gateway_document
from app.ingest.paths import TRACKING_PATHS, TrackingPath
from app.segment.events import WireEvent
from tests.documents import read_yaml
from tests.fakes import Harness, described_api, open_intake

FILE: Final = Path(__file__).parent.parent / "openapi" / "gateway.yaml"
DOCUMENT: Final[dict[str, Any]] = read_yaml(FILE)
KEPT: Final = [form for form in TRACKING_PATHS if not form.discard]
JSON: Final = "application/json"


def resolved(part: Any) -> Any:
    """The same, with its reference followed."""
    while "$ref" in part:
        found: Any = DOCUMENT
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def operation(form: TrackingPath) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][form.path]["post"]
    return found


def body(form: TrackingPath) -> dict[str, Any]:
    found: dict[str, Any] = resolved(operation(form)["requestBody"])["content"][JSON]
    return found


def examples(content: dict[str, Any]) -> list[Any]:
    return [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]


def mistakes(value: Any, schema: dict[str, Any]) -> list[str]:
    """How a value breaks a schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def of(forms: list[TrackingPath]) -> list[Any]:
    return [pytest.param(form, id=form.path) for form in forms]


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == gateway_document(), "run `make openapi`"


def test_the_command_prints_it_and_is_kept_from_the_list_of_commands() -> None:
    printed = CliRunner().invoke(cli, ["openapi"])
    assert (printed.exit_code, printed.stdout) == (0, gateway_document())
    assert "openapi" not in CliRunner().invoke(cli, ["--help"]).stdout


def test_it_is_written_out_in_full() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "&id" not in text
    assert max(map(len, text.splitlines())) <= 130


def test_it_is_a_valid_document_of_version_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_every_page_and_every_tracking_path_is_described_once() -> None:
    found = [f"{method} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]
    documents = ["get /v1/projects/{write_key}/settings", "get /sourceConfig"]
    health = ["get /healthz", "get /readyz", "get /metrics", "get /scaling"]
    assert sorted(found) == sorted([*(f"post {form.path}" for form in TRACKING_PATHS), *documents, *health])


def test_no_two_operations_have_one_name() -> None:
    names = [each["operationId"] for methods in DOCUMENT["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("form", of(KEPT))
def test_a_tracking_path_tells_where_the_write_key_may_stand(form: TrackingPath) -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    ways = [schemes[name] for requirement in operation(form)["security"] for name in requirement]
    assert [(way["type"], way.get("scheme"), way.get("in"), way.get("name")) for way in ways] == [
        ("http", "basic", None, None),
        ("apiKey", None, "header", "X-Write-Key"),
        ("apiKey", None, "query", "writeKey"),
    ]
    assert {} in operation(form)["security"], "the key may stand in the body alone"
    schemas = DOCUMENT["components"]["schemas"]
    assert all("writeKey" in schemas[name]["properties"] for name in ("Event", "Batch"))


@pytest.mark.parametrize("form", of(KEPT))
def test_a_tracking_path_tells_of_its_answers(form: TrackingPath) -> None:
    answers = {status: resolved(answer) for status, answer in operation(form)["responses"].items()}
    assert sorted(answers) == ["200", "400", "401", "403", "429", "500", "503"]
    for status, answer in answers.items():
        content = answer["content"][JSON]
        assert content["schema"]["$ref"].endswith("/Accepted" if status == "200" else "/Refusal")
        assert [mistakes(example, content["schema"]) for example in examples(content)] in ([[]], [[], []])
    for status in ("429", "503"):
        header = resolved(answers[status]["headers"]["Retry-After"])
        assert (header["required"], header["schema"]) == (True, {"type": "integer", "minimum": 1})


def test_the_path_that_throws_everything_away_needs_no_key() -> None:
    (form,) = [form for form in TRACKING_PATHS if form.discard]
    assert operation(form)["security"] == []
    assert "401" not in operation(form)["responses"]


def test_every_field_that_is_read_is_described() -> None:
    fields = DOCUMENT["components"]["schemas"]["Event"]["properties"]
    assert set(fields) == {*WireEvent.model_fields, "writeKey"}
    assert [name for name, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize("form", of([form for form in KEPT if form.type is None]))
def test_where_batches_come_a_single_event_and_a_bare_list_are_described_too(form: TrackingPath) -> None:
    schema = body(form)["schema"]
    event = {"type": "page", "userId": "7"}
    for good in ({"batch": [event], "sentAt": "2026-03-01T12:00:00Z"}, event, [event, event]):
        assert mistakes(good, schema) == []
    wrong: list[Any] = [{"batch": []}, {"batch": event}, [], {"userId": "7"}, [7], "event"]
    for bad in wrong:
        assert mistakes(bad, schema) != []


@pytest.mark.parametrize("form", of(list(TRACKING_PATHS)))
async def test_an_example_is_what_it_should_be_and_is_taken(intake: Harness, form: TrackingPath) -> None:
    content = body(form)
    assert examples(content)
    for example in examples(content):
        assert mistakes(example, content["schema"]) == []
        answer = await intake.post(form.path, example)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert {ending for ending in intake.outbox.endings if ending} <= {
        "dropped:not_forwarded",
        "dropped:erasure_not_allowed",
    }


@pytest.fixture
def intake() -> Harness:
    return open_intake()


async def test_the_gateway_serves_the_same_document(intake: Harness) -> None:
    transport = httpx.ASGITransport(described_api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as operator:
        assert (await operator.get("/openapi.json")).json() == DOCUMENT
        page = (await operator.get("/docs")).text
        assert "//" not in page.replace("<!DOCTYPE", ""), "it needs nothing from another host"
        for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert (await operator.get(asset)).status_code == 200
    async with intake.http:
        for path in ("/openapi.json", "/docs", "/metrics", "/scaling"):
            assert (await intake.http.get(path)).status_code == 404, "not on the public port"
