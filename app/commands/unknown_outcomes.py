"""`attentive-gateway unknown-outcomes`: calls that Attentive may or may not have processed."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from app.commands.common import audit, fail, numeric, out, table_with, with_redis
from app.commands.dead_letter_queue import (
    All,
    AsJson,
    Destination,
    Ids,
    Limit,
    Reveal,
    Yes,
    confirm,
    counted,
    filtered,
    print_json,
    print_table,
    show_dead_letter,
)
from app.delivery.dead_letter import DeadLetterQueue, Filter
from app.operations import unknown_outcomes as operations
from app.operations.dead_letters import Listing, listing, select
from app.operations.operator import Operator
from app.operations.unknown_outcomes import Tally, possible_duplicates, tallies

commands = typer.Typer(no_args_is_help=True, help="Review calls that Attentive may or may not have processed.")


@commands.command("list")
@filtered("reason")
def list_unknown(
    wanted: Filter,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the calls in review, and count all unknown outcomes so far."""

    async def work(operator: Operator) -> tuple[Listing, list[Tally]]:
        found = await listing(operator, wanted, DeadLetterQueue.REVIEW, limit)
        return found, await tallies(operator, wanted.destination)

    found, counts = with_redis(work)
    if as_json:
        print_json(found)
        return
    if found.first:
        print_table(found)
    out.print(
        f"{counted(found.reasons.total(), DeadLetterQueue.REVIEW)}." if found.first else "No calls are in review."
    )
    _print_tallies(counts)


def _print_tallies(found: Sequence[Tally]) -> None:
    """Every unknown outcome since counting began, and the number of possible duplicates."""
    heads = ("Sent again", "Checked", "In review", "Given up")
    table = table_with("Destination", "Endpoint", *numeric(*heads), "A repeated call")
    for each in found:
        numbers = (each.sent_again, each.verified, each.in_review, each.given_up)
        table.add_row(each.destination, each.endpoint, *(f"{number:,}" for number in numbers), each.repeat or "?")
    if table.row_count:
        out.print(table)
    out.print(
        f"Possible duplicates since counting began: {possible_duplicates(found):,}. "
        "At most this many calls reached Attentive twice."
    )


@commands.command("show")
def show(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The ID, as `list` prints it.")],
    destination: Destination = None,
    reveal: Reveal = False,
) -> None:
    """Show one call in review: why its outcome is unknown, the call and the original event."""
    with_redis(lambda operator: show_dead_letter(operator, call_id, destination, DeadLetterQueue.REVIEW, reveal=reveal))


@commands.command("resolve")
@filtered("reason")
def resolve(
    wanted: Filter,
    call_ids: Ids = None,
    send: Annotated[bool, typer.Option("--send", help="Attentive did not process them: send them now.")] = False,
    discard_them: Annotated[bool, typer.Option("--discard", help="Attentive processed them: delete them.")] = False,
    all_of_them: All = False,
    yes: Yes = False,
) -> None:
    """End the review of calls: send them, or discard them."""
    if send == discard_them:
        fail("Choose what to do with them: --send or --discard.", 2)

    async def work(operator: Operator) -> Counter[str]:
        chosen = await select(operator, DeadLetterQueue.REVIEW, wanted, call_ids, everything=all_of_them)
        verb = "Send" if send else "Discard"
        confirm(f"{verb} {counted(chosen.count, DeadLetterQueue.REVIEW)}?", agreed=yes or chosen.count == 1)
        results = await operations.resolve(operator, chosen, send=send)
        act = "send after review" if send else "discard after review"
        await audit(operator, act, destination=wanted.destination or "", ids=call_ids or (), **results)
        return results

    for result, count in with_redis(work).most_common():
        out.print(f"{count:,} {result}", markup=False)
