"""`attentive-gateway dead-letters`: look at what could not be delivered, send it again, or delete it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer
from rich.json import JSON
from rich.progress import track
from rich.table import Table

from app.commands.common import Operator, fail, out, parse_span, with_redis
from app.delivery.dead_letters import DeadLetter, Filter, dead_letters, purge, replay
from app.delivery.delivery import HORIZON, Delivery
from app.masking import mask_personal, mask_text
from app.pipeline import Bury, Drop, Forward, Plan, decide
from app.segment.events import InvalidEvent, parse_event
from app.topology import plan_of
from app.value import changed

commands = typer.Typer(no_args_is_help=True, help="Look at what could not be delivered, send it again, or delete it.")

Destination = Annotated[str | None, typer.Option(help="only of this destination")]
Endpoint = Annotated[str | None, typer.Option(help="only of this endpoint; 'none': events that never became a call")]
Reason = Annotated[str | None, typer.Option(help="only with this reason, such as http_400, expired or unmappable")]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="at least this old: 2h, 3d")
]
NewerThan = Annotated[timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="at most this old: 2h, 3d")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


@commands.command("list")
def list_letters(
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option(min=1, help="show at most this many, oldest first")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line, masked")] = False,
) -> None:
    """Show dead letters, oldest first, and how many there are by reason."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)
    letters = with_redis(lambda operator: _matching(operator, wanted))
    if as_json:
        for letter in letters[:limit]:
            out.out(orjson.dumps(_summary(letter)).decode(), highlight=False)
        return
    if not letters:
        out.print("No dead letters match.")
        return
    table = Table(
        "Id", "Died (UTC)", "Destination", "Endpoint", "Event", "Message id", "Reason", "Tries", "Last answer"
    )
    for letter in letters[:limit]:
        facts = _summary(letter)
        table.add_row(
            letter.id,
            f"{letter.died_at:%m-%d %H:%M:%S}",
            letter.destination,
            letter.endpoint or "-",
            facts["event"],
            letter.message_id,
            letter.reason,
            str(letter.attempts),
            str(letter.last_answer.get("answer") or letter.last_answer.get("status") or letter.detail)[:80],
        )
    out.print(table)
    counts = Counter(letter.reason for letter in letters)
    sums = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    more = f"; the first {limit} are shown" if len(letters) > limit else ""
    out.print(f"{len(letters):,} dead letters: {sums}{more}", markup=False)


@commands.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` prints it")],
    destination: Destination = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="show personal data")] = False,
) -> None:
    """Show one dead letter whole: the reason, the last answer, the call and the original event."""
    letters = with_redis(lambda operator: _matching(operator, Filter(destination, id=letter_id)))
    if not letters:
        fail(f"there is no dead letter {letter_id}")
    for letter in letters:
        whole = _summary(letter) | {
            "call": None if letter.body is None else orjson.loads(letter.body),
            "original": orjson.loads(letter.event),
        }
        out.print(JSON(orjson.dumps(whole if reveal else mask_personal(whole)).decode()))


@commands.command("replay")
def replay_letters(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="these; else all that match")
    ] = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="every dead letter there is")] = False,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="also events that arrived too old")] = False,
    yes: Yes = False,
) -> None:
    """Send dead letters again. Events that never became a call go through the mapping as it is now."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator) -> Counter[str]:
        letters = await _chosen(operator, wanted, letter_ids, all_of_them)
        _confirm(f"Send {len(letters):,} dead letters again?", yes or len(letters) == 1)
        results: Counter[str] = Counter()
        for letter in track(letters, "Replaying", console=out, disable=len(letters) < 20):
            results[await _replay_one(operator, letter, ignore_age=ignore_age)] += 1
        return results

    for result, count in with_redis(work).most_common():
        out.print(f"{count:,} {result}", markup=False)


@commands.command("purge")
def purge_letters(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="these; else all that match")
    ] = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="every dead letter there is")] = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters for good."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator) -> int:
        letters = await _chosen(operator, wanted, letter_ids, all_of_them)
        _confirm(f"Delete {len(letters):,} dead letters for good?", yes)
        return await purge(operator.redis, letters)

    out.print(f"{with_redis(work):,} deleted")


async def _matching(operator: Operator, wanted: Filter) -> list[DeadLetter]:
    if wanted.destination is not None and wanted.destination not in operator.destinations:
        fail(f"there is no destination {wanted.destination!r}; there are: {', '.join(operator.destinations)}", 2)
    now = datetime.now(UTC)
    return [letter async for letter in dead_letters(operator.redis, operator.destinations, wanted, now=now)]


async def _chosen(
    operator: Operator, wanted: Filter, letter_ids: list[str] | None, all_of_them: bool
) -> list[DeadLetter]:
    """The letters that the arguments mean. Meaning all of them must be said."""
    if letter_ids is None and wanted == Filter() and not all_of_them:
        fail("name ids, or a filter such as --reason, or --all", 2)
    letters = await _matching(operator, wanted)
    if letter_ids is not None:
        letters = [letter for letter in letters if letter.id in letter_ids]
        if missing := set(letter_ids) - {letter.id for letter in letters}:
            fail(f"there is no dead letter {', '.join(sorted(missing))}")
    if not letters:
        fail("no dead letters match")
    return letters


def _confirm(question: str, agreed: bool) -> None:
    if not agreed:
        typer.confirm(question, abort=True)


async def _replay_one(operator: Operator, letter: DeadLetter, *, ignore_age: bool) -> str:
    """Replay one letter; what became of it, in words."""
    now = datetime.now(UTC)
    ending = ""
    deliveries: tuple[Delivery, ...] = ()
    if letter.endpoint is not None:
        deliveries = (letter.revived(now, calls=1),)
    else:
        plan = plan_of(operator.topology.destinations[letter.destination])
        match _decide_again(letter, replace(plan, oldest=None) if ignore_age else plan):
            case Forward(deliveries=mapped):
                deliveries = tuple(changed(delivery, deadline=now + HORIZON) for delivery in mapped)
            case Drop(reason=reason):
                ending = f"dropped:{reason.value}"
            case Bury(reason=reason, detail=detail):
                return f"kept, still {reason}: {detail}"
    facts: dict[str, Any] = {"dead_letter": letter.id, "reason": letter.reason}
    facts |= {"ending": ending} if ending else {"calls": [delivery.endpoint for delivery in deliveries]}
    replayed = await replay(
        operator.redis,
        letter,
        deliveries=deliveries,
        ending=ending,
        record=orjson.dumps(facts),
        journal_entries=operator.settings.journal_entries,
    )
    if not replayed:
        return "gone before they could be replayed"
    return ending.replace("dropped:", "dropped by the mapping: ") if ending else "sent again"


def _decide_again(letter: DeadLetter, plan: Plan) -> Forward | Drop | Bury:
    inspected = plan.guard.inspect(orjson.loads(letter.event), letter.event)
    try:
        event = parse_event(inspected.event)
    except InvalidEvent as invalid:
        return Bury(letter.reason, str(invalid))
    return decide(
        changed(event, message_id=letter.message_id),
        plan,
        original=inspected.json,
        source=letter.source,
        received_at=letter.received_at,
        findings=inspected.findings,
    )


def _summary(letter: DeadLetter) -> dict[str, Any]:
    event = orjson.loads(letter.event)
    name = event.get("event") or event.get("type") if isinstance(event, dict) else None
    return {
        "id": letter.id,
        "died_at": letter.died_at.isoformat(),
        "received_at": letter.received_at.isoformat(),
        "destination": letter.destination,
        "source": letter.source,
        "endpoint": letter.endpoint,
        "event": mask_text(str(name or "?")),
        "message_id": letter.message_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "last_answer": letter.last_answer,
    }
