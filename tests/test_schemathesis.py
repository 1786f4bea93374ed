"""The gateway keeps to openapi/gateway.yaml, whatever is sent: requests made up from the document, good and bad ones.

Made up without chance: every run sends the same. No answer may be a 500, or one that the document does not have.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from app.embedded import find_redis
from app.ingest.paths import BY_PATH
from tests.documents import read_yaml
from tests.generated import share_of
from tests.stack import DESTINATION, WRITE_KEY, Stack, stack

FILE: Final = Path(__file__).parent.parent / "openapi" / "gateway.yaml"
TO_THE_LETTER: Final = [
    getattr(schemathesis.checks, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]

Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
pytestmark = pytest.mark.hypothesis  # its settings are made within
OPERATORS: Final = frozenset({"/metrics", "/scaling"})  # pages on the operators' port alone
TOO_SLOW: Final = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def operations(*, with_keys: bool) -> list[object]:
    """Each operation of the document; `with_keys`: to be asked with made-up write keys too."""
    config = {"generation": {"with-security-parameters": with_keys}, "phases": {"coverage": {"enabled": False}}}
    schema = schemathesis.openapi.from_dict(deepcopy(read_yaml(FILE)), config=SchemathesisConfig.from_dict(config))
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert found
    return [pytest.param(each, id=f"{each.method.upper()} {each.path}") for each in found]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One whose events stay where they are: nothing of this is to be sent."""
    with stack(tmp_path_factory.mktemp("schemathesis"), find_redis()) as running:
        running.kill("worker")
        yield running


def status_of(gateway: Stack, case: Case, auth: tuple[str, str] | None) -> int:
    """The status of an answer that is as the document says."""
    port = gateway.admin_port if case.path in OPERATORS else gateway.gateway_port
    return case.call_and_validate(f"http://127.0.0.1:{port}", checks=TO_THE_LETTER, auth=auth).status_code


def ask(operation: Operation, most: int, check: Callable[[Case], None]) -> None:
    """Generate requests for an operation, the same ones each time, and check each."""
    made_up = settings(max_examples=share_of(most), suppress_health_check=TOO_SLOW)
    made_up(given(case=operation.as_strategy())(check))()


@pytest.mark.parametrize("operation", operations(with_keys=False))
def test_a_tracker_is_answered_as_the_document_says(gateway: Stack, operation: Operation) -> None:
    def check(case: Case) -> None:
        assert status_of(gateway, case, (WRITE_KEY, "")) in (200, 400, 404)

    ask(operation, 30, check)


@pytest.mark.parametrize("operation", operations(with_keys=True))
def test_a_stranger_is_answered_as_the_document_says_too_and_let_in_nowhere(
    gateway: Stack, operation: Operation
) -> None:
    def check(case: Case) -> None:
        status, form = status_of(gateway, case, None), BY_PATH.get(case.path)
        assert status in ((200, 404) if form is None else (200, 400) if form.discard else (400, 401))

    ask(operation, 10, check)


def test_much_of_what_was_made_up_came_through(gateway: Stack) -> None:
    """Tests that are refused at the intake each time would say little."""
    assert gateway.metrics()[f'gateway_events_received_total{{destination="{DESTINATION}"}}'] > 150
