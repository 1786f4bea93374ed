"""`attentive-gateway destinations`: how each Attentive account is, testing its token, and ending a hold."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from app.commands import tokens
from app.commands.common import audit, numeric, out, table_with, with_redis
from app.commands.dead_letter_queue import Yes, confirm
from app.commands.tokens import DestinationName
from app.config.source import Source
from app.counted import DropReason
from app.delivery.accounts.event_keys import USABLE_KEYS
from app.delivery.accounts.token_state import TokenReport
from app.delivery.counters import Counters
from app.delivery.hold import HoldStatus
from app.delivery.recipients import Deliver
from app.operations.accounts import account_change, app_change, discard_old, keep, keep_app
from app.operations.destinations import DestinationStatus, next_try, read_statuses, resume
from app.operations.operator import BadRequest, Operator
from app.operations.promotion import Promotion, delivers_to, plan_promotion
from app.store.shards import shard_names

commands = typer.Typer(no_args_is_help=True, help="Inspect and manage the Attentive accounts that events go to.")
commands.command("test")(tokens.ask_whose_tokens)

NEAR: Final = 0.8  # of a limit, from which on it is worth a warning
_TYPES_SHOWN: Final = 20

Name = Annotated[str, typer.Argument(metavar="NAME", help="The destination.")]


@commands.command("list")
def list_destinations() -> None:
    """Show the events of each destination, what waits for it, and what is held and why."""
    statuses, sources, shards = with_redis(_everything)
    out.print(_accounts(statuses, shards), highlight=False)
    out.print(_events(statuses), highlight=False)
    out.print(_kept(statuses))
    out.print(_sources(sources), highlight=False)
    now = datetime.now(UTC)
    for status in statuses:
        for hold in status.holds:
            line = f"{status.name} is held: {_hold(hold, status.token, now)}"
            out.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        for line in warnings_of(status):
            out.print(line, style="red", markup=False, highlight=False, soft_wrap=True)


@commands.command("show")
def show_destination(name: Name) -> None:
    """Show one destination: to whom it delivers, whose token it has, and how near it is to Attentive's limits."""
    (status,) = with_redis(lambda operator: read_statuses(operator, name))
    out.print(_about(status), highlight=False)
    out.print(_event_types(status), highlight=False)
    for line in warnings_of(status):
        out.print(line, style="red", markup=False, highlight=False, soft_wrap=True)


def _about(status: DestinationStatus) -> Table:
    settings, counters = status.settings, status.counters
    most = settings.attributes.most_names
    table = table_with("", "", title=status.name)
    table.show_header = False
    for what, value in (
        ("Title", settings.title or "-"),
        ("Description", settings.description or "-"),
        ("Delivers to", delivers_to(settings.recipients)),
        ("Attentive at", settings.base_url),
        ("Token", _token(status.token)),
        ("App that made the event types", status.app.made_by if status.app else "not known yet"),
        ("Custom attributes", f"{len(status.attributes):,}" + (f" of {most:,}" if most else "")),
        ("Calls with a URL that is not shortened", f"{counters.long_urls:,}, of more than 1,024 characters"),
        ("Calls too late for journeys", f"{sum(counters.missed.values()):,}"),
    ):
        table.add_row(what, escape(value))
    return table


def _event_types(status: DestinationStatus) -> Table:
    limit = f"Journeys use the first {USABLE_KEYS} property names of a type."
    table = table_with("Custom event type", "Property names", caption=limit)
    for kind, names in list(status.event_keys.items())[:_TYPES_SHOWN]:
        table.add_row(escape(kind), f"{names:,} of {USABLE_KEYS}")
    if not status.event_keys:
        table.add_row("No custom event was delivered yet.", "")
    if (more := len(status.event_keys) - _TYPES_SHOWN) > 0:
        table.add_row(f"and {more:,} types with fewer", "")
    return table


def warnings_of(status: DestinationStatus) -> Iterator[str]:
    """What keeps delivered events from being of use: another app, limits that are near or exceeded."""
    if status.app is not None and status.app.found is not None:
        yield (
            f"{status.name}: {status.app}. Journeys on these types do not start. Use a token of that app, or run "
            f"`destinations keep {status.name}` once your journeys use the types of the new one."
        )
    for kind, names in status.event_keys.items():
        if names > USABLE_KEYS:
            yield f"{status.name}: {kind!r} was sent with {names:,} property names, and journeys use {USABLE_KEYS}."
        elif names >= NEAR * USABLE_KEYS:
            yield f"{status.name}: {kind!r} has {names:,} of the {USABLE_KEYS} property names that journeys use."
    attributes = status.settings.attributes
    if attributes.most_names is not None and len(status.attributes) >= attributes.warn_at_names:
        yield f"{status.name}: {len(status.attributes):,} of {attributes.most_names:,} custom attributes are in use."


async def _everything(
    operator: Operator,
) -> tuple[list[DestinationStatus], Mapping[str, Source], Mapping[str, str]]:
    statuses = await read_statuses(operator)
    shards = await shard_names(operator.redis, [status.name for status in statuses])
    return statuses, operator.topology.sources, shards


def _accounts(statuses: Sequence[DestinationStatus], shards: Mapping[str, str]) -> Table:
    """What each destination is for, and in a cluster, its shard."""
    heads = ("Destination", "Title", "Delivers to", "Description", *(("Shard of Redis",) if shards else ()))
    table = table_with(*heads, title="Attentive accounts")
    for status in statuses:
        settings, name = status.settings, status.name
        shard = (shards[name],) if shards else ()
        table.add_row(
            name, escape(settings.title), delivers_to(settings.recipients), escape(settings.description), *shard
        )
    return table


def _sources(sources: Mapping[str, Source]) -> Table:
    heads = ("Source", "Title", "Destination", "Trust", "Description")
    table = table_with(*heads, title="Sources")
    for name, source in sources.items():
        table.add_row(name, escape(source.title), source.destination, source.trust.value, escape(source.description))
    return table


def _events(statuses: Sequence[DestinationStatus]) -> Table:
    """Events by destination, as an equation: those that came in above, what became of them below."""
    counted = [_balance(status.counters) for status in statuses]
    table = table_with("Events since counting began", *numeric(*(status.name for status in statuses)))
    for kind in counted[0] if counted else ():
        table.add_row(kind, *(f"{balance[kind]:,}" for balance in counted), end_section=kind == "+ replayed")
    return table


def _balance(counters: Counters) -> dict[str, int]:
    limited = counters.dropped.get(DropReason.NOT_DELIVERED, 0)
    return {
        "received": counters.received,
        "+ replayed": counters.replayed,
        "= delivered": counters.delivered,
        "+ not delivered, by `deliver`": limited,
        "+ dropped": sum(counters.dropped.values()) - limited,
        "+ dead letters": sum(counters.dead.values()),
        "+ unresolved": sum(counters.unknown.values()),
        "+ waiting": counters.waiting,
    }


def _kept(statuses: Sequence[DestinationStatus]) -> Table:
    heads = ("Calls waiting", "Dead letters", "In review", "Token")
    table = table_with("Destination", *heads, title="Now")
    for status in statuses:
        numbers = (status.calls_waiting, status.dead_letters, status.in_review)
        table.add_row(status.name, *(f"{number:,}" for number in numbers), _token(status.token))
    return table


def _token(token: TokenReport | None) -> str:
    if token is None:
        return "not asked yet"
    return f"{token.state.value} since {token.since:%Y-%m-%d %H:%M} UTC ({token.answer})"


def _hold(hold: HoldStatus, token: TokenReport | None, now: datetime) -> str:
    """Such as "all endpoints, since 06:04 UTC, 401: Attentive refuses the API token, next try at 06:09 UTC"."""
    parts = [hold.endpoint or "all endpoints", hold.reason]
    if (following := next_try(hold, token, now)) is None:
        return ", ".join([*parts, "until you run `destinations keep` or `destinations discard`"])
    if hold.endpoint is None and token is not None and token.next_try is not None:
        parts.insert(1, f"since {token.since:%H:%M:%S} UTC")
    return ", ".join([*parts, f"next try at {following:%H:%M:%S} UTC, or now with `destinations resume`"])


@commands.command("resume")
def resume_now(name: DestinationName = None) -> None:
    """End all holds of a destination and its endpoints, and try to send now."""

    async def work(operator: Operator) -> int:
        ended = await resume(operator, name)
        await audit(operator, "resume", destination=name or "", holds=ended)
        return ended

    ended = with_redis(work)
    out.print(f"{ended} {'hold' if ended == 1 else 'holds'} ended." if ended else "Nothing was held.")


@commands.command("promote")
def promote(
    name: Name,
    to: Annotated[
        Deliver | None, typer.Option(help="The value of `deliver` to compare with. Default: the next one.")
    ] = None,
) -> None:
    """Show what would change if a destination delivered to more people. It changes nothing itself.

    The steps are `deliver: none`, `test_people` and `all`. The exit status is 1 while something would keep calls from
    being sent.
    """
    plan = with_redis(lambda operator: plan_promotion(operator, name, to))
    for line in _promotion(plan):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if plan.obstacles:
        raise typer.Exit(1)


def _promotion(plan: Promotion) -> Iterator[str]:
    yield f"{plan.destination} delivers to {delivers_to(plan.now)}. It would deliver to {delivers_to(plan.then)}."
    yield f"Account: {plan.account or 'not known yet, because nothing was sent'}."
    yield f"Events not delivered so far: {plan.not_delivered:,}. They are not sent later."
    if plan.lately:
        shown = list(plan.lately.items())[:10]
        rest = len(plan.lately) - len(shown)
        listed = ", ".join(f"{event} {number:,}" for event, number in shown)
        yield f"Of these, as far as the journal goes back: {listed}{f', and {rest} other names' if rest else ''}."
    else:
        yield "The journal has no event that was not delivered."
    yield (
        f"Calls that wait now and would be sent: {plan.waiting:,}. They were queued before the destination was limited."
        if plan.waiting
        else "No call that waits now would be sent because of the change."
    )
    for obstacle in plan.obstacles:
        yield f"Resolve first: {obstacle}."
    yield f"To change it, set `deliver: {plan.then.deliver.value}` at destinations.{plan.destination} and reload."


@commands.command("keep")
def keep_calls(name: Name, yes: Yes = False) -> None:
    """Send to the new account what was queued for the old one, and end the hold of the change.

    Where only the app of the token has changed, accept it as the one that makes the event types.
    """

    async def work(operator: Operator) -> str:
        try:
            change = await account_change(operator, name)
        except BadRequest:
            if (app := await app_change(operator, name)) is None:
                raise
            confirm(f"From now on, let {app.found} count as the app that makes the event types?", agreed=yes)
            await keep_app(operator, name, app)
            await audit(operator, "keep app", destination=name)
            return f"{name} now makes its event types with the app {app.found}."
        confirm(f"Send all calls that were queued for {change.bound} to {change.found}?", agreed=yes)
        await keep(operator, change)
        await audit(operator, "keep calls", destination=name)
        return f"{name} now sends to {change.found}."

    out.print(with_redis(work), markup=False, highlight=False, soft_wrap=True)


@commands.command("discard")
def discard_calls(name: Name, yes: Yes = False) -> None:
    """Discard what was queued for the old account, dead letters included, and end the hold of the change.

    Events that came in after the change was found are kept, and sent to the new account.
    """

    async def work(operator: Operator) -> str:
        change = await account_change(operator, name)
        confirm(f"Discard all calls that were queued for {change.bound} by {change.found_at:%H:%M:%S} UTC?", agreed=yes)
        gone = await discard_old(operator, change)
        await audit(operator, "discard calls", destination=name, waiting=gone.waiting, kept=gone.kept)
        return f"{gone.waiting:,} waiting and {gone.kept:,} kept calls discarded. {name} now sends to {change.found}."

    out.print(with_redis(work), markup=False, highlight=False, soft_wrap=True)
