"""`attentive-gateway dead-letters`: look at what could not be delivered, send it again, or delete it."""

from collections import Counter
from typing import Annotated

import typer
from rich.progress import Progress

from app.commands.common import Operator, out, with_redis
from app.commands.letters import (
    All,
    AsJson,
    Chosen,
    Destination,
    Endpoint,
    Ids,
    Limit,
    Listing,
    NewerThan,
    OlderThan,
    Reason,
    Reveal,
    Yes,
    confirm,
    send_again,
    show_letter,
)
from app.delivery.dead_letters import Filter, Shelf, discard

commands = typer.Typer(no_args_is_help=True, help="Look at what could not be delivered, send it again, or delete it.")


@commands.command("list")
def list_letters(
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show dead letters, oldest first, and how many there are by reason."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)
    listing = with_redis(lambda operator: Listing.read(operator, wanted, Shelf.DEAD, limit))
    if as_json:
        listing.print_json()
        return
    if not listing.first:
        out.print("No dead letters match.")
        return
    listing.print_table()
    sums = ", ".join(f"{count:,} {reason}" for reason, count in listing.reasons.most_common())
    out.print(f"{listing.reasons.total():,} dead letters: {sums}", markup=False)


@commands.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` prints it")],
    destination: Destination = None,
    reveal: Reveal = False,
) -> None:
    """Show one dead letter whole: the reason, the last answer, the call and the original event."""
    with_redis(lambda operator: show_letter(operator, letter_id, destination, Shelf.DEAD, reveal=reveal))


@commands.command("replay")
def replay_letters(
    letter_ids: Ids = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: All = False,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="also events that arrived too old")] = False,
    yes: Yes = False,
) -> None:
    """Send dead letters again. Events that never became a call go through the mapping as it is now."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator) -> Counter[str]:
        chosen = await Chosen.read(operator, Shelf.DEAD, wanted, letter_ids, all_=all_of_them)
        confirm(f"Send {chosen.count:,} dead letters again?", agreed=yes or chosen.count == 1)
        results: Counter[str] = Counter()
        with Progress(console=out, disable=chosen.count < 20) as progress:
            bar = progress.add_task("Replaying", total=chosen.count)
            async for letter in chosen.letters(operator):
                results[await send_again(operator, letter, ignore_age=ignore_age)] += 1
                progress.advance(bar)
        return results

    for result, count in with_redis(work).most_common():
        out.print(f"{count:,} {result}", markup=False)


@commands.command("purge")
def purge_letters(
    letter_ids: Ids = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: All = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters for good."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator) -> int:
        chosen = await Chosen.read(operator, Shelf.DEAD, wanted, letter_ids, all_=all_of_them)
        confirm(f"Delete {chosen.count:,} dead letters for good?", agreed=yes)
        entries = operator.settings.journal_entries
        return sum(
            [await discard(operator.redis, one, journal_entries=entries) async for one in chosen.letters(operator)]
        )

    out.print(f"{with_redis(work):,} deleted")
