"""The top level of the command: what it lists, and what a start of it loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import __version__
from app.cli import CARE, COMMANDS, RUN, cli
from app.commands.common import join_local_run
from app.commands.on_demand import loaded

HEAVY = ("app.settings", "redis", "arq", "aiohttp", "httpx", "fastapi", "uvicorn", "structlog")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_paragraph_of_its_own_help(name: str) -> None:
    first, _, _ = loaded(name, COMMANDS[name]).help.partition("\n\n")
    assert COMMANDS[name].summary == " ".join(first.split())


def test_the_help_lists_every_command_below_its_heading() -> None:
    shown = CliRunner().invoke(cli, ["--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    of_running, _, of_care = shown.stdout.partition(RUN)[2].partition(CARE)
    for name, command in COMMANDS.items():
        text = {RUN: of_running, CARE: of_care}.get(command.panel or "")
        assert text is None or (f" {name} " in text and command.summary in text)
    assert "openapi" not in shown.stdout


def test_help_fills_the_lines_of_the_terminal_and_shows_no_type_for_switches() -> None:
    shown = CliRunner().invoke(cli, ["destinations", "test", "--help"], env={"COLUMNS": "300"}).stdout
    assert "they change nothing. A token that works ends the hold" in shown
    assert "--json" in shown
    assert "<bool>" not in shown


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []], ids=["help", "version", "nothing"])
def test_the_list_of_commands_loads_none_of_them(arguments: list[str]) -> None:
    program = (
        f"import sys; from app.cli import main; sys.argv[1:] = {arguments}\n"
        f"try: main()\nfinally: print([name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"attentive-gateway {__version__}\n"


def test_a_command_with_a_slip_is_named_with_the_nearest_one() -> None:
    shown = CliRunner().invoke(cli, ["dead-leters"])
    assert shown.exit_code == 2
    assert "dead-letters" in shown.output


def test_with_nothing_running_a_command_names_what_it_looked_for_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GATEWAY_", "ATTENTIVE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA", "else/where")
    looked_for = join_local_run()
    assert "GATEWAY_REDIS_URL is not set" in looked_for
    assert str(tmp_path / "else" / "where" / "running.json") in looked_for
    assert "GATEWAY_DATA" in looked_for


def test_a_redis_that_does_not_answer_is_named_by_the_setting_of_its_address() -> None:
    asked = CliRunner(env={"GATEWAY_REDIS_URL": "redis://127.0.0.1:1/0"}).invoke(cli, ["destinations", "list"])
    assert asked.exit_code == 1
    assert "Redis cannot be used" in asked.stderr
    assert "GATEWAY_REDIS_URL" in asked.stderr


def test_a_bad_setting_ends_the_command_with_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve"],
        env={"GATEWAY_REDIS_URL": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("attentive-gateway: GATEWAY_REDIS_URL")
    assert ended.stderr.count("\n") == 1
