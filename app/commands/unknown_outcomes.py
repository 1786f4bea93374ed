"""`attentive-gateway unknown-outcomes`: calls that Attentive may have acted on or not, and what becomes of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from app.attentive.endpoints import BY_NAME, Repeat
from app.commands.common import Operator, fail, out, with_redis
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
    Reveal,
    Yes,
    confirm,
    send_again,
    show_letter,
)
from app.delivery.books import Books, read_books
from app.delivery.dead_letters import Filter, Shelf, discard
from app.delivery.unknown import SENT_BY_HAND, WhenUnknown

commands = typer.Typer(
    no_args_is_help=True, help="Look at calls that Attentive may have acted on or not; send or discard those held."
)


@commands.command("list")
def list_unknown(
    destination: Destination = None,
    endpoint: Endpoint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the calls that are held for review, and how many outcomes were unknown in all."""
    wanted = Filter(destination, endpoint, None, older_than, newer_than)

    async def work(operator: Operator) -> tuple[Listing, list[Books]]:
        listing = await Listing.read(operator, wanted, Shelf.UNKNOWN, limit)
        return listing, await read_books(operator.redis, operator.destinations)

    listing, books = with_redis(work)
    if as_json:
        listing.print_json()
        return
    if listing.first:
        listing.print_table()
    out.print(f"{listing.reasons.total():,} calls are held for review." if listing.first else "No calls are held.")
    _print_counts([each for each in books if destination in (None, each.destination)])


def _print_counts(books: Sequence[Books]) -> None:
    """Every unknown outcome since this Redis began, and the possible duplicates as a number."""
    table = Table("Destination", "Endpoint", "Sent again", "Asked about", "Held", "Given up", "A repeated call")
    possible = 0
    for page in books:
        for endpoint in dict.fromkeys(endpoint for endpoint, _ in page.unknown_calls):
            count = {then: number for (one, then), number in page.unknown_calls.items() if one == endpoint}
            again = count.get(WhenUnknown.SEND_AGAIN, 0) + count.get(SENT_BY_HAND, 0)
            repeat = BY_NAME[endpoint].repeat if endpoint in BY_NAME else "?"
            possible += 0 if repeat is Repeat.HARMLESS else again
            others = (count.get(then, 0) for then in (WhenUnknown.CHECK, WhenUnknown.HOLD, WhenUnknown.GIVE_UP))
            table.add_row(page.destination, endpoint, f"{again:,}", *(f"{number:,}" for number in others), repeat)
    if table.row_count:
        out.print(table)
    out.print(
        f"Possible duplicates since the books began: {possible:,} (at most so many calls reached Attentive twice)."
    )


@commands.command("show")
def show(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` prints it")],
    destination: Destination = None,
    reveal: Reveal = False,
) -> None:
    """Show one held call whole: why its outcome is unknown, the call and the original event."""
    with_redis(lambda operator: show_letter(operator, call_id, destination, Shelf.UNKNOWN, reveal=reveal))


@commands.command("resolve")
def resolve(
    call_ids: Ids = None,
    send: Annotated[bool, typer.Option("--send", help="Attentive has not acted on them: send them now")] = False,
    discard_them: Annotated[bool, typer.Option("--discard", help="Attentive has acted on them: delete them")] = False,
    destination: Destination = None,
    endpoint: Endpoint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: All = False,
    yes: Yes = False,
) -> None:
    """End the review of held calls: send them, or discard them."""
    if send == discard_them:
        fail("say what is to become of them: --send or --discard", 2)
    wanted = Filter(destination, endpoint, None, older_than, newer_than)

    async def work(operator: Operator) -> Counter[str]:
        chosen = await Chosen.read(operator, Shelf.UNKNOWN, wanted, call_ids, all_=all_of_them)
        verb = "Send" if send else "Discard"
        confirm(f"{verb} {chosen.count:,} calls of unknown outcome?", agreed=yes or chosen.count == 1)
        results: Counter[str] = Counter()
        async for letter in chosen.letters(operator):
            if send:
                results[await send_again(operator, letter)] += 1
            elif await discard(operator.redis, letter, journal_entries=operator.settings.journal_entries):
                results["discarded"] += 1
        return results

    for result, count in with_redis(work).most_common():
        out.print(f"{count:,} {result}", markup=False)
