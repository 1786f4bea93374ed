"""The `attentive-gateway` command: its subcommands and their modules. A module is imported when its command runs."""

import sys
from typing import Annotated, Final

import typer

from app import __version__
from app.commands.on_demand import Deferred, on_demand
from app.config.bad_settings import BadSettings

RUN: Final = "Run it"
CARE: Final = "Operate it"

COMMANDS: Final = {
    "run": Deferred(
        "app.commands.run",
        "run",
        "Start Redis, gateway, worker, console and, if no API token is set, a sandbox; show sample events on their "
        "way.",
        RUN,
    ),
    "serve": Deferred(
        "app.commands.serve",
        "serve",
        "Run the HTTP gateway alone. All its settings are variables: see `attentive-gateway settings`.",
        RUN,
    ),
    "worker": Deferred("app.commands.worker", "worker", "Run one worker alone: it sends calls to Attentive.", RUN),
    "console": Deferred(
        "app.commands.console",
        "console",
        "Serve the console: web pages on which operators see what happens and act. Needs Redis and nothing else.",
        RUN,
    ),
    "sandbox": Deferred(
        "app.commands.sandbox",
        "sandbox",
        "Run a model of Attentive's API. It contacts no other system. Its control panel is at /_sandbox/.",
        RUN,
    ),
    "openapi": Deferred("app.commands.openapi", "openapi", "Print the API description, openapi/gateway.yaml."),
    "trace": Deferred(
        "app.commands.trace",
        "trace",
        "Show what happened to one event: what was received, what was decided and why, each call and each answer.",
        CARE,
    ),
    "events": Deferred(
        "app.commands.events",
        "commands",
        "Find events and the calls that they became, and follow them live.",
        CARE,
    ),
    "alerts": Deferred(
        "app.commands.alerts",
        "commands",
        "Show alerts, their rules, channels and history, and mute them.",
        CARE,
    ),
    "slo": Deferred(
        "app.commands.slo",
        "slo",
        "Show how many calls are sent in time, and how much of the error budget is left.",
        CARE,
    ),
    "simulate": Deferred(
        "app.commands.simulate",
        "simulate",
        "Simulate bursts and outages: backlogs, waits, missed journeys, the size of Redis and the number of processes.",
        CARE,
    ),
    "forget": Deferred(
        "app.commands.forget",
        "forget",
        "Erase a person from profiles, lanes, retries, dead letters and the journal, and from Attentive if configured.",
        CARE,
    ),
    "settings": Deferred(
        "app.commands.settings",
        "settings",
        "Show every setting with its current value. Secrets are hidden.",
        CARE,
    ),
    "dead-letters": Deferred(
        "app.commands.dead_letters",
        "commands",
        "Inspect events and calls that could not be delivered. Correct, replay or delete them.",
        CARE,
    ),
    "unknown-outcomes": Deferred(
        "app.commands.unknown_outcomes",
        "commands",
        "Review calls that Attentive may or may not have processed.",
        CARE,
    ),
    "attributes": Deferred(
        "app.commands.attributes",
        "commands",
        "List and forget the custom attributes of Attentive accounts.",
        CARE,
    ),
    "identities": Deferred("app.commands.identities", "commands", "Inspect how people are identified.", CARE),
    "receipts": Deferred(
        "app.commands.forget",
        "receipts",
        "Show the receipts of erasures. No receipt identifies the person.",
        CARE,
    ),
    "refusals": Deferred(
        "app.commands.refusals", "commands", "List requests and events that the intake refused.", CARE
    ),
    "destinations": Deferred(
        "app.commands.destinations",
        "commands",
        "Inspect and manage the Attentive accounts that events go to.",
        CARE,
    ),
    "sync": Deferred(
        "app.commands.sync",
        "commands",
        "Send the rows of files and databases to Attentive: only what is new, and with a report on every row.",
        CARE,
    ),
    "users": Deferred("app.commands.console", "users", "Manage the users of the console.", CARE),
    "mapping": Deferred("app.commands.mapping", "commands", "Show, check and test how events are mapped.", CARE),
}

cli = on_demand(
    COMMANDS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they could hold personal data
    help="Segment-style events in, Attentive calls out.",
)


@cli.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Segment-style events in, Attentive calls out."""
    if version:
        typer.echo(f"attentive-gateway {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line. A bad setting ends it with a one-line message."""
    try:
        cli()
    except BadSettings as problem:
        typer.secho(f"attentive-gateway: {str(problem).removesuffix('.')}.", fg="red", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
