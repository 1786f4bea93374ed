"""What leaves the process as a log line: JSON off a terminal, no person and no secret in it, arq kept quiet."""

import gzip
import io
import json
import logging
import socket
import ssl
from collections.abc import Iterator
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from app.logs import set_up_logging
from app.settings import Settings
from tests.builders import EMAIL, PHONE

LIBRARIES = ("arq", "uvicorn.access", "uvicorn.error", "httpx", "asyncio")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging belongs to the whole process: leave it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_json_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="worker")
    structlog.get_logger().info("event.received", count=3)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "event.received", "count": 3, "level": "info", "component": "worker"}


def test_a_librarys_line_looks_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    logging.getLogger("some.library").warning("it took %s s", 3)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["component"]) == ("it took 3 s", "warning", "gateway")


def test_a_line_is_readable_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(style="console", component="gateway")
    structlog.get_logger().info("event.received", count=3)
    text = capsys.readouterr().err
    assert "event.received" in text
    assert not text.startswith("{")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"email": EMAIL}, id="as a value"),
        pytest.param({"reason": f"{EMAIL} and {PHONE} are unknown"}, id="in a sentence"),
        pytest.param({"traits": {"email": EMAIL, "phone": PHONE}}, id="in an object"),
        pytest.param({"emails": [EMAIL, PHONE]}, id="in a list"),
        pytest.param({"deep": {"er": [{"email": (EMAIL,)}]}}, id="deep in both"),
        pytest.param({"error": ValueError(f"{EMAIL} is unknown")}, id="in an error"),
        pytest.param({"body": f'{{"email":"{EMAIL}"}}'.encode()}, id="in bytes"),
        pytest.param({"seen": {EMAIL: 1}}, id="as a key of an object"),
    ],
)
def test_no_line_names_a_person(values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    structlog.get_logger().info("something.happened", **values)
    written = capsys.readouterr().err
    assert "something.happened" in written
    assert EMAIL not in written
    assert PHONE not in written


def test_the_event_itself_names_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    structlog.get_logger().info(f"wrote to {EMAIL}")
    logging.getLogger("some.library").warning("wrote to %s", EMAIL)
    assert [line["event"] for line in lines(capsys)] == ["wrote to a***@example.com"] * 2


def test_a_traceback_names_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    try:
        raise LookupError(f"no such person: {EMAIL}")
    except LookupError:
        structlog.get_logger().exception("event.undecided")
        logging.getLogger("some.library").exception("failed")
    for line in lines(capsys):
        assert line["exception"].endswith("\nLookupError")
        assert "example.com" not in line["exception"]


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_arq_is_heard_from_a_warning_on(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Below, it prints the arguments of its jobs."""
    set_up_logging(level, component="worker")
    arq = logging.getLogger("arq.worker")
    arq.info("0.50s → drain:acme:purchase(secret)")
    arq.debug("secret")
    arq.warning("a job was lost")
    assert [line["event"] for line in lines(capsys)] == ["a job was lost"]


def test_uvicorns_own_handlers_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = io.StringIO()
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(elsewhere))
    set_up_logging(component="gateway")
    logging.getLogger("uvicorn.error").warning("shutting down")
    assert elsewhere.getvalue() == ""
    assert [line["event"] for line in lines(capsys)] == ["shutting down"]


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        pytest.param("DEBUG", ["debug", "info", "warning", "error"], id="everything at DEBUG"),
        pytest.param("INFO", ["info", "warning", "error"], id="no details at INFO"),
        pytest.param("ERROR", ["error"], id="errors alone at ERROR"),
    ],
)
def test_the_level_decides_what_is_heard(level: str, heard: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level, component="gateway")
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("something.happened")
    assert [line["level"] for line in lines(capsys)] == heard


def test_settings_in_a_line_show_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    secrets = Settings(api_token=SecretStr("token-secret"), write_key=SecretStr("key-secret"))
    structlog.get_logger().info("gateway.started", settings=secrets, token=secrets.api_token)
    assert "secret" not in capsys.readouterr().err.replace("SecretStr", "")


def test_a_value_that_is_no_json_costs_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    structlog.get_logger().info("something.happened", what=object(), how={1: {2}})
    assert [line["event"] for line in lines(capsys)] == ["something.happened"]


def fails(value: str) -> None:
    try:
        {}[value]  # type: ignore[index]
    except KeyError as missing:
        raise ValueError(f"no price for {value}") from missing


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_names_places_and_types_and_no_values(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(style=style, component="gateway")
    person = " ".join(["Jane", "Doe of", "Elm Street"])  # in parts, for a traceback shows the lines of the source
    try:
        fails(person)
    except ValueError:
        structlog.get_logger().exception("event.undecided")
        logging.getLogger("some.library").exception("a task failed")
    written = capsys.readouterr().err
    assert person not in written
    assert min(written.count("KeyError"), written.count("ValueError")) >= 2
    assert "in fails" in written
    assert "test_logs.py" in written


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        pytest.param(FileNotFoundError(2, "No such file", "/data/x"), "'/data/x'", id="of a file"),
        pytest.param(socket.gaierror(-2, "Name or service not known"), "Name or service", id="of a name"),
        pytest.param(ssl.SSLError(1, "certificate verify failed"), "certificate verify failed", id="of a certificate"),
        pytest.param(SMTPRecipientsRefused({"Jane": (550, b"unknown")}), "", id="of recipients"),
        pytest.param(SMTPResponseException(550, "Jane is unknown"), "", id="of a mail server"),
        pytest.param(gzip.BadGzipFile("Not a gzipped file (b'Jane')"), "", id="of a body"),
    ],
)
def test_a_traceback_shows_the_messages_of_the_operating_system_alone(
    error: OSError, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(component="gateway")
    try:
        raise error
    except OSError:
        structlog.get_logger().exception("request.failed")
    (line,) = lines(capsys)
    last = line["exception"].splitlines()[-1]
    assert type(error).__name__ in last
    assert shown in last
    assert "Jane" not in line["exception"]


def test_a_traceback_shows_every_exception_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(component="gateway")
    try:
        raise ExceptionGroup("Jane", [ValueError("Jane"), ConnectionError("no route to 127.0.0.1")])
    except ExceptionGroup:
        structlog.get_logger().exception("request.failed")
    (line,) = lines(capsys)
    shown = line["exception"].splitlines()
    assert [each for each in shown if "Jane" in each and "raise ExceptionGroup" not in each] == []
    assert {"ExceptionGroup", "ValueError", "ConnectionError: no route to 127.0.0.1"} <= set(shown)
