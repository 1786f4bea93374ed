"""The gateway keeps to openapi/gateway.yaml, whatever is sent: requests made up from the document, good and bad ones.

Made up without chance: every run sends the same. No answer may be a 500, or one that the document does not have.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from app.embedded import find_redis
from app.ingest.paths import BY_PATH
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


def described(most: int, *, with_keys: bool) -> schemathesis.BaseSchema:
    """The document, to make up `most` requests for each operation; `with_keys`: with made-up write keys too."""
    made_up = {"max-examples": most, "deterministic": True, "with-security-parameters": with_keys, "database": "none"}
    config = {"generation": made_up, "phases": {"coverage": {"enabled": False}}}
    return schemathesis.openapi.from_path(FILE, config=SchemathesisConfig.from_dict(config))


known = described(30, with_keys=False)
strange = described(10, with_keys=True)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One whose events stay where they are: nothing of this is to be sent."""
    with stack(tmp_path_factory.mktemp("schemathesis"), find_redis()) as running:
        running.kill("worker")
        yield running


def status_of(gateway: Stack, case: Case, auth: tuple[str, str] | None) -> int:
    """The status of an answer that is as the document says."""
    return case.call_and_validate(str(gateway.http.base_url), checks=TO_THE_LETTER, auth=auth).status_code


@known.parametrize()
def test_a_tracker_is_answered_as_the_document_says(gateway: Stack, case: Case) -> None:
    assert status_of(gateway, case, (WRITE_KEY, "")) in (200, 400, 404)


@strange.parametrize()
def test_a_stranger_is_answered_as_the_document_says_too_and_let_in_nowhere(gateway: Stack, case: Case) -> None:
    status, form = status_of(gateway, case, None), BY_PATH.get(case.path)
    assert status in ((200, 404) if form is None else (200, 400) if form.discard else (400, 401))


def test_much_of_what_was_made_up_came_through(gateway: Stack) -> None:
    """Tests that are refused at the door each time would say little."""
    assert gateway.metrics()[f'gateway_events_received_total{{destination="{DESTINATION}"}}'] > 150
