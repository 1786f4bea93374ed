"""`attentive-gateway simulate`, as an operator sees it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "black-friday.yaml"
CONFIG: Final = """\
destinations:
  acme:
    api_token_env: NOT_SET_HERE
    limits: {product-view: 20}
    mapping:
      events:
        Product Clicked: {send: false}
  beta:
    api_token_env: NOT_SET_HERE
    delivery: {fresh_hours: 0.1, horizon_hours: 0.2}
sources:
  web: {write_key_env: NOT_SET_HERE_EITHER, destination: acme}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `attentive-gateway simulate` with nothing in the environment."""
    for name in ("GATEWAY_CONFIG", "GATEWAY_MAX_BACKLOG_EVENTS", "GATEWAY_MAX_BACKLOG_BYTES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli, ["simulate", *map(str, arguments)])


@pytest.fixture
def facts(run: Run) -> Callable[..., dict[str, Any]]:
    def facts(*arguments: object) -> dict[str, Any]:
        shown = run(*arguments, "--json")
        assert shown.exit_code in (0, 1), shown.output
        return dict(json.loads(shown.stdout))

    return facts


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    return file


def lane_of(facts: dict[str, Any], endpoint: str) -> dict[str, Any]:
    return next(lane for lane in facts["lanes"] if lane["endpoint"] == endpoint)


class TestWhatItPrints:
    def test_is_a_table_over_time_one_of_lanes_and_sentences(self, run: Run) -> None:
        shown = run(EXAMPLE)
        assert shown.exit_code == 0, shown.output
        for part in (
            "Black Friday: 40 events/s",
            "One account over time",
            "no answers",
            "Lanes",
            "No journey is missed.",
            "set maxmemory to",
            "2 gateways for 400 events/s",
        ):
            assert part in shown.stdout

    def test_is_calm_where_nothing_waits(self, run: Run) -> None:
        shown = run("--rate", "1/s")
        assert shown.exit_code == 0
        assert "Nothing waits" in shown.stdout
        assert "The mix of events is an assumption." in shown.stdout
        assert "What would help" not in shown.stdout

    def test_has_no_lanes_where_no_event_becomes_a_call(self, run: Run) -> None:
        shown = run("--rate", "1/s", "--identified", "0%")
        assert shown.exit_code == 0
        assert "Lanes" not in shown.stdout

    def test_names_what_is_lost_and_what_would_help(self, run: Run) -> None:
        shown = run("--rate", "200/s", "--burst", "10x@18:00+3h")
        assert shown.exit_code == 1
        assert "429, because the backlog" in shown.stdout
        assert "Set GATEWAY_MAX_BACKLOG_EVENTS to" in shown.stdout
        assert "calls/s from Attentive, nothing would wait" in shown.stdout

    def test_names_events_that_become_no_call(self, run: Run, config: Path) -> None:
        mix = "Product Viewed=1,Product Clicked=1"
        shown = run("--rate", "1/s", "--mix", mix, "--config", config, "--destination", "acme")
        assert "Product Clicked becomes no call (drop: event_not_allowed)." in shown.stdout

    def test_fits_a_terminal_of_80_columns(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        shown = run("--rate", "100/s", "--burst", "10x@18:00+3h", "--outage", "19:00+20m")
        tables, _, _ = shown.stdout.partition("What happens")
        assert "…" not in tables
        assert max(map(len, tables.splitlines())) <= 80


class TestAScenario:
    def test_is_the_same_as_options_and_as_a_file(self, facts: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        file = tmp_path / "scenario.yaml"
        file.write_text("rate: 4M/day\nbursts: [{factor: 3, at: 18:00, lasts: 1h}]\noutages: [18:10+5m:purchase]\n")
        options = ("--rate", "4M/day", "--burst", "3x@18:00+1h", "--outage", "18:10+5m:purchase")
        assert facts(file) == facts(*options)

    def test_has_options_that_take_precedence_over_its_file(self, facts: Callable[..., dict[str, Any]]) -> None:
        assert facts(EXAMPLE, "--rate", "1/s", "--lasts", "4h")["events"] < facts(EXAMPLE)["events"] / 10

    def test_has_options_that_complete_its_file(
        self, facts: Callable[..., dict[str, Any]], run: Run, tmp_path: Path
    ) -> None:
        file = tmp_path / "burst.yaml"
        file.write_text("bursts: [5x@01:00+10m]\n")
        assert facts(file, "--rate", "40/s") == facts("--rate", "40/s", "--burst", "5x@01:00+10m")
        refused = run(file, "--rate", "many")
        assert refused.exit_code == 2
        assert "--rate" in refused.output
        assert str(file) not in refused.output
        assert f"{file}:1: rate" in run(file).output

    def test_uses_the_limits_and_the_ages_of_a_destination(
        self, facts: Callable[..., dict[str, Any]], config: Path
    ) -> None:
        asked = ("--rate", "60/s", "--identified", "100%", "--lasts", "1h", "--mix", "Product Viewed=1")
        of_acme = facts(*asked, "--config", config, "--destination", "acme")
        assert lane_of(of_acme, "product-view")["calls_per_s"] == pytest.approx(20 * 0.95 * 0.98, abs=0.01)
        outage = ("--outage", "02:00+30m", "--begins", "01:59")
        of_beta = facts(*asked, *outage, "--config", config, "--destination", "beta")
        assert of_beta["missed_journeys"] > 0
        assert of_beta["expired"] > 0

    def test_sends_identify_events_only_where_they_tell_something_new(
        self, facts: Callable[..., dict[str, Any]]
    ) -> None:
        found = facts("--rate", "10/s", "--mix", "identify=1", "--identified", "50%", "--lasts", "1h")
        assert lane_of(found, "user-attributes")["arrived"] == pytest.approx(10 * 3600 * 0.5 * 0.2, rel=0.01)

    def test_of_a_hundred_accounts_needs_a_hundred_times_the_redis(self, facts: Callable[..., dict[str, Any]]) -> None:
        asked = ("--rate", "20/s", "--people", "0", "--lasts", "1h")
        assert facts(*asked, "--accounts", "100")["redis_bytes"] == 100 * facts(*asked)["redis_bytes"]

    def test_is_refused_at_redis_maxmemory(self, facts: Callable[..., dict[str, Any]]) -> None:
        found = facts("--rate", "200/s", "--burst", "10x@18:00+3h", "--maxmemory", "3GB")
        assert found["refused"]["redis_full"] > 0
        assert found["redis_bytes"] <= 3e9

    def test_crosses_midnight(self, facts: Callable[..., dict[str, Any]]) -> None:
        found = facts("--rate", "10/s", "--burst", "2x@00:30+1h", "--begins", "23:00", "--lasts", "4h")
        busy = [moment["time"] for moment in found["moments"] if moment["events_per_s"] > 15]
        assert (busy[0], busy[-1]) == ("00:35 (+1 d)", "01:30 (+1 d)")


class TestAMistake:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            pytest.param([], "Give a scenario file, or the usual traffic with --rate", id="no traffic"),
            pytest.param(["--rate", "fast"], "--rate: must be a rate such as 200/s", id="no rate"),
            pytest.param(["--rate", "0/s"], "--rate: must be more than 0", id="a rate of nothing"),
            pytest.param(["--rate", "1/s", "--burst", "10x@18+3h"], "--burst: must be a burst such as", id="a burst"),
            pytest.param(
                ["--rate", "1/s", "--burst", "2x@25:00+3h"], "--burst: must be a time of day", id="a time of day"
            ),
            pytest.param(["--rate", "1/s", "--outage", "19:00+20"], "--outage: must be a time", id="a span"),
            pytest.param(
                ["--rate", "1/s", "--outage", "19:00+20m:purchases"], "did you mean purchase?", id="an endpoint"
            ),
            pytest.param(["--rate", "1/s", "--mix", "lots"], "--mix: must be parts by event", id="a mix"),
            pytest.param(
                ["--rate", "1/s", "--mix", "page=0"], "--mix: must have a part that is more than 0", id="none"
            ),
            pytest.param(
                ["--rate", "1/s", "--mix", "page=" + "9" * 400], "--mix: must be at most", id="a part beyond all"
            ),
            pytest.param(
                ["--rate", "1/s", "--identified", "130%"], "--identified: must be from 0 to 100 %", id="a share"
            ),
            pytest.param(["--rate", "1/s", "--maxmemory", "8"], "--maxmemory: must be a size", id="a size"),
            pytest.param(["--rate", "1/s", "--lasts", "8d"], "--lasts: must be at most 7d", id="a long one"),
            pytest.param(["--rate", "1/s", "--accounts", "0"], "--accounts: ", id="no account"),
            pytest.param(["--rate", "1/s", "--limits", "purchase=0/s"], "--limits: must be", id="a limit of nothing"),
            pytest.param(["--rate", "1/s", "--destination", "x"], "--destination needs the file", id="no file"),
            pytest.param(["missing.yaml"], "Cannot read missing.yaml", id="a file that is not there"),
        ],
    )
    def test_names_the_field_and_the_rule(self, run: Run, arguments: list[str], message: str) -> None:
        shown = run(*arguments)
        assert shown.exit_code == 2
        assert message in shown.stderr

    def test_in_a_file_names_the_line(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "scenario.yaml"
        file.write_text("rate: 40/s\nburst: [10x@18:00+3h]\noutages:\n  - 19:00+never\n")
        shown = run(file)
        assert shown.exit_code == 2
        assert f"{file}:2: burst: is unknown here; did you mean bursts?" in shown.stderr
        assert f"{file}:4: outages.0: must be a time with its unit" in shown.stderr

    def test_about_the_destination_names_those_that_there_are(self, run: Run, config: Path) -> None:
        assert "has several destinations" in run("--rate", "1/s", "--config", config).stderr
        shown = run("--rate", "1/s", "--config", config, "--destination", "gamma")
        assert "The destinations are: acme, beta." in shown.stderr
