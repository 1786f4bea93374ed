"""`attentive-gateway simulate`: what a burst or an outage would do, computed in seconds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.table import Table

from app.attentive.call import Priority
from app.commands.common import fail, numeric, out, table_with, whole
from app.config.destination import Destination
from app.config.document import BadFile
from app.config.scenario import ScenarioSettings, read_scenario, scenario_of
from app.config.topology import load_file
from app.operations.simulation import Simulated, run_simulation
from app.settings import load_settings
from app.simulation.course import Course, LaneCourse, Moment
from app.simulation.findings import Findings, clock, duration, findings_of, gigabytes, per_second

_PLAIN: Final[Mapping[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}
_SPELLED: Final = {"bursts": "burst", "outages": "outage"}  # options that may be repeated
_ROWS: Final = 16  # of the table over time
_BAR: Final = 12  # characters
_HOURS_S: Final = 7200.0  # from here on, a wait is shown in hours


def simulate(
    scenario: Annotated[
        Path | None, typer.Argument(metavar="[SCENARIO.yaml]", help="A scenario file. Options take precedence over it.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Usual traffic of one account, such as 40/s or 4M/day.")
    ] = None,
    bursts: Annotated[
        list[str] | None,
        typer.Option("--burst", metavar="BURST", help="More traffic for a while: 10x@18:00+3h. May be repeated."),
    ] = None,
    outages: Annotated[
        list[str] | None,
        typer.Option(
            "--outage",
            metavar="OUTAGE",
            help="Attentive does not answer: 19:00+20m, or 19:00+20m:purchase for one endpoint. May be repeated.",
        ),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(metavar="PARTS", help='Parts of the traffic by event: "Product Viewed=60,page=30,identify=10".'),
    ] = None,
    identified: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Share of events whose person Attentive can know, such as 30%.")
    ] = None,
    public: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Share of events from browsers and apps, such as 90%.")
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option("--limits", metavar="LIMITS", help='Limits by endpoint: "product-view=300/s,identity=20/s".'),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The gateway's YAML file, for its mapping and limits. Else: the defaults."),
    ] = None,
    destination: Annotated[
        str | None, typer.Option(metavar="NAME", help="The account of that file, if it has several.")
    ] = None,
    accounts: Annotated[int | None, typer.Option(help="Number of equal accounts that share Redis.")] = None,
    people: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Known people of all accounts together, such as 10M.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Number of workers. Without it, as many as are needed.")] = None,
    maxmemory: Annotated[str | None, typer.Option(metavar="SIZE", help="Redis' maxmemory, such as 8GB.")] = None,
    begins: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the simulation begins, such as 17:00.")
    ] = None,
    lasts: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Its length, such as 24h. Without it, until all is sent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Simulate bursts and outages: backlogs, waits, missed journeys, the size of Redis and the number of processes.

    It uses the limits, priorities and retries of the gateway with a virtual clock, and contacts nothing. See
    docs/simulation.md.

    Exit status 0: everything is delivered in time; 1: journeys are missed, or calls or events are not taken; 2: a
    mistake.
    """
    options = {
        "rate": rate,
        "bursts": bursts,
        "outages": outages,
        "mix": mix,
        "identified": identified,
        "public": public,
        "limits": limits,
        "accounts": accounts,
        "people": people,
        "workers": workers,
        "maxmemory": maxmemory,
        "begins": begins,
        "lasts": lasts,
    }
    wanted = _wanted(scenario, {name: value for name, value in options.items() if value not in (None, [])})
    found = run_simulation(wanted, _account(config, destination), load_settings())
    findings = findings_of(found.course, found.begins_s, found.unlimited)
    if as_json:
        out.out(orjson.dumps(_facts(found, findings)).decode(), highlight=False)
    else:
        _print(wanted, found, findings)
    raise typer.Exit(1 if findings.is_bad else 0)


def _wanted(file: Path | None, options: Mapping[str, Any]) -> ScenarioSettings:
    if file is None and "rate" not in options:
        fail("Give a scenario file, or the usual traffic with --rate, such as --rate 40/s.", 2)
    content: Mapping[str, Any] = {}
    if file is not None:
        _checked({"rate": "1/s", **options})  # before they stand in for what the file lacks
        try:
            settings, content = read_scenario(file, options)
        except BadFile as bad:
            fail("\n".join(f"{file}:{mistake.line}: {mistake}" for mistake in bad.mistakes), 2)
        except OSError as failure:
            fail(f"Cannot read {file}: {failure.strerror}.", 2)
        if not options:
            return settings
    return _checked({**content, **options})


def _checked(fields: Mapping[str, Any]) -> ScenarioSettings:
    try:
        return scenario_of(fields, _option)
    except ValueError as mistakes:
        fail(f"{mistakes}.", 2)


def _option(path: Sequence[str]) -> str:
    """The option of a field, for mistakes."""
    return f"--{_SPELLED.get(path[0], path[0])}"


def _account(config: Path | None, name: str | None) -> Destination:
    if config is None:
        if name is not None:
            fail("--destination needs the file that describes it: --config.", 2)
        return Destination.model_validate({"api_token": "none"})
    try:
        destinations = load_file(config, secrets_needed=False).topology.destinations
    except BadFile as bad:
        fail("\n".join(f"{config}:{mistake.line}: {mistake}" for mistake in bad.mistakes), 2)
    known = ", ".join(destinations)
    if name is None and len(destinations) > 1:
        fail(f"{config} has several destinations. Choose one with --destination: {known}.", 2)
    chosen = name or next(iter(destinations))
    if chosen not in destinations:
        fail(f"{config} has no destination {chosen!r}. The destinations are: {known}.", 2)
    return destinations[chosen]


def _print(wanted: ScenarioSettings, found: Simulated, findings: Findings) -> None:
    course, begins_s = found.course, found.begins_s
    each = f" for each of {wanted.accounts} accounts" if wanted.accounts > 1 else ""
    out.print(f"{wanted.name or 'Simulation'}: {per_second(wanted.rate)} events/s{each}", style="bold", **_PLAIN)
    for event, why in found.dropped.items():
        out.print(f"{event} becomes no call ({why}).", style="yellow", **_PLAIN)
    out.print(_over_time(course, begins_s))
    if course.lanes:
        out.print(_lanes(course, begins_s))
    for title, sentences in (
        ("What happens", findings.what_happens),
        ("What it takes", findings.what_it_takes),
        ("What would help", findings.what_would_help),
    ):
        if sentences:
            out.print(title, style="bold")
            for sentence in sentences:
                out.print(f"- {sentence}", **_PLAIN)
    if "mix" not in wanted.model_fields_set:
        out.print("The mix of events is an assumption. Give your own with --mix.", style="dim", **_PLAIN)


def _over_time(course: Course, begins_s: float) -> Table:
    table = table_with(
        whole("Time"),
        *numeric("Events/s", "Calls/s", "Waiting", "Oldest", "Redis"),
        "Backlog",
        title="One account over time",
    )
    table.collapse_padding = True
    most = max((sum(moment.waiting.values()) for moment in course.moments), default=0)
    for moment in _some(course.moments, course.scenario.changes):
        waiting = sum(moment.waiting.values())
        table.add_row(
            clock(begins_s + moment.at_s),
            per_second(moment.events_per_s),
            per_second(moment.calls_per_s),
            f"{waiting:,}",
            _short(max(moment.oldest_s.values(), default=0.0)) if waiting else "-",
            gigabytes(moment.redis_bytes),
            "▇" * round(_BAR * waiting / max(1, most)) + _noted(moment),
            style="red" if moment.silent else None,
        )
    return table


def _noted(moment: Moment) -> str:
    """What is unusual at this moment."""
    notes = ["no answers"] if moment.silent else []
    if moment.refused_per_s:
        notes.append(f"{per_second(moment.refused_per_s)}/s refused")
    return " " + ", ".join(notes)


def _some(moments: Sequence[Moment], changes: Sequence[float]) -> list[Moment]:
    """Some moments at even times, those at which something changes, and the last."""
    ends = moments[-1].at_s
    wanted = sorted({*changes, *(ends * place / _ROWS for place in range(1, _ROWS + 1))})
    found: list[Moment] = []
    for at_s in wanted:
        first = next((moment for moment in moments if moment.at_s >= at_s - 0.5), None)
        if first is not None and first not in found[-1:]:
            found.append(first)
    return found


def _lanes(course: Course, begins_s: float) -> Table:
    table = table_with(
        whole("Lane"),
        *numeric("Calls", "Most\nwaiting", "99 % wait\nat most"),
        *numeric("Missed", "Expired"),
        "Empty\nat",
        title="Lanes",
    )
    table.collapse_padding = True
    for lane in course.lanes:
        table.add_row(
            lane.endpoint,
            f"{lane.arrived:,}",
            f"{lane.peak.value:,.0f}",
            "\n".join(_waited(lane)) or "-",
            f"{lane.missed:,}",
            f"{lane.expired:,}",
            clock(begins_s + lane.drained_s) if lane.drained_s else ("never" if lane.waiting else "-"),
        )
    return table


def _waited(lane: LaneCourse) -> Iterator[str]:
    """By priority."""
    for priority in Priority:
        if waits := lane.waits(priority):
            yield f"{priority.name.lower()} {_short(max(1.0, waits.p99_s))}"


def _short(seconds: float) -> str:
    """ "45 s", "12 min", "3.3 h"."""
    return duration(seconds) if seconds < _HOURS_S else f"{seconds / 3600:.1f} h"


def _facts(found: Simulated, findings: Findings) -> dict[str, Any]:
    course, begins_s = found.course, found.begins_s
    return {
        "begins": clock(begins_s),
        "ends_s": course.ends_s,
        "events": course.events,
        "refused": dict(course.refused),
        "delivered": course.delivered,
        "missed_journeys": course.missed,
        "expired": course.expired,
        "waiting": course.waiting,
        "redis_bytes": round(course.redis.value),
        "workers": round(course.workers.value),
        "becomes_no_call": dict(found.dropped),
        "lanes": [_lane_facts(lane) for lane in course.lanes],
        "moments": [
            {
                "at_s": moment.at_s,
                "time": clock(begins_s + moment.at_s),
                "events_per_s": round(moment.events_per_s, 3),
                "refused_per_s": round(moment.refused_per_s, 3),
                "calls_per_s": round(moment.calls_per_s, 3),
                "waiting": dict(moment.waiting),
                "oldest_s": {endpoint: round(age) for endpoint, age in moment.oldest_s.items()},
                "redis_bytes": moment.redis_bytes,
                "workers": moment.workers,
            }
            for moment in course.moments
        ],
        "what_happens": list(findings.what_happens),
        "what_it_takes": list(findings.what_it_takes),
        "what_would_help": list(findings.what_would_help),
    }


def _lane_facts(lane: LaneCourse) -> dict[str, Any]:
    waits = {priority.name.lower(): lane.waits(priority) for priority in Priority}
    return {
        "endpoint": lane.endpoint,
        "calls_per_s": round(lane.rate, 3),
        "arrived": lane.arrived,
        "delivered": lane.delivered,
        "missed_journeys": lane.missed,
        "expired": lane.expired,
        "waiting": lane.waiting,
        "most_waiting": round(lane.peak.value),
        "most_waiting_at_s": lane.peak.at_s,
        "empty_at_s": lane.drained_s,
        "waits": {
            name: {"calls": each.calls, "median_s": each.median_s, "p99_s": each.p99_s, "longest_s": each.longest_s}
            for name, each in waits.items()
            if each is not None
        },
    }
