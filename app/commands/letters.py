"""What the commands about kept letters share: which are meant, how they are shown, and sending one again.

Dead letters and calls of unknown outcome are kept in the same form, on two shelves.
"""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer
from rich.json import JSON
from rich.table import Column, Table

from app.attentive.call import Priority
from app.commands.common import Operator, fail, out, parse_span
from app.delivery.attributes import read_attributes
from app.delivery.dead_letters import DeadLetter, Filter, Shelf, dead_letters, replay
from app.delivery.deletions import Request, ask
from app.delivery.delivery import Delivery, event_key, to_ms
from app.ingest.again import decide_again
from app.masking import mask_personal, mask_text
from app.pipeline import Bury, Drop, Forget, Forward
from app.topology import plan_for
from app.value import changed

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="these; else all that match")]
Destination = Annotated[str | None, typer.Option(help="only of this destination")]
Endpoint = Annotated[str | None, typer.Option(help="only of this endpoint; 'none': events that never became a call")]
Reason = Annotated[str | None, typer.Option(help="only with this reason, such as http_400, expired or unmappable")]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="at least this old: 2h, 3d")
]
NewerThan = Annotated[timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="at most this old: 2h, 3d")]
Limit = Annotated[int, typer.Option(min=1, help="show at most this many, oldest first")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object per line, masked")]
Reveal = Annotated[bool, typer.Option("--reveal", help="show personal data")]
All = Annotated[bool, typer.Option("--all", help="every one there is")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]

_NAMES = {Shelf.DEAD: "dead letter", Shelf.UNKNOWN: "held call"}


async def matching(operator: Operator, wanted: Filter, shelf: Shelf) -> AsyncIterator[DeadLetter]:
    """The letters that `wanted` means, as they were when this began. An unknown destination ends the command."""
    if wanted.destination is not None and wanted.destination not in operator.destinations:
        fail(f"there is no destination {wanted.destination!r}; there are: {', '.join(operator.destinations)}", 2)
    now = datetime.now(UTC)
    async for letter in dead_letters(operator.redis, operator.destinations, wanted, now=now, shelf=shelf):
        yield letter


@dataclass(frozen=True, slots=True)
class Listing:
    """The first of the letters that match, and how many there are by reason."""

    first: Sequence[DeadLetter]
    reasons: Counter[str]

    @classmethod
    async def read(cls, operator: Operator, wanted: Filter, shelf: Shelf, limit: int) -> "Listing":
        """Read the shelf whole, and keep `limit` of it."""
        first: list[DeadLetter] = []
        reasons: Counter[str] = Counter()
        async for letter in matching(operator, wanted, shelf):
            reasons[letter.reason] += 1
            if len(first) < limit:
                first.append(letter)
        return cls(first, reasons)

    def print_json(self) -> None:
        """One line per letter."""
        for letter in self.first:
            out.out(orjson.dumps(summary(letter)).decode(), highlight=False)

    def table(self) -> Table:
        """For people, on a terminal of 80 columns too."""
        one = Column("Id\nsince (UTC)", no_wrap=True)  # `show` and `replay` want it whole
        folded = [Column(head, overflow="fold") for head in ("Lane", "Event\nmessage id", "Reason\nlast answer")]
        table = Table(one, *folded, "Tries", show_lines=True)
        for letter in self.first:
            last = letter.last_answer.get("answer") or letter.last_answer.get("status") or letter.detail
            table.add_row(
                f"{letter.id}\n{letter.died_at:%Y-%m-%d %H:%M}",
                f"{letter.destination}\n{letter.endpoint or '-'}",
                f"{summary(letter)['event']}\n{letter.message_id}",
                f"{letter.reason}\n{str(last)[:80]}",
                str(letter.attempts),
            )
        return table

    def print_table(self) -> None:
        """The same, with a word about those that are not shown."""
        out.print(self.table())
        if self.reasons.total() > len(self.first):
            out.print(f"The first {len(self.first):,} of {self.reasons.total():,} are shown.")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The letters that the arguments of a command mean."""

    shelf: Shelf
    filters: Sequence[Filter]
    count: int

    @classmethod
    async def read(
        cls, operator: Operator, shelf: Shelf, wanted: Filter, ids: list[str] | None, *, all_: bool
    ) -> "Chosen":
        """Meaning all of them must be said; meaning none is a mistake."""
        if ids is None and wanted == Filter() and not all_:
            fail("name ids, or a filter such as --endpoint, or --all", 2)
        filters = [wanted] if ids is None else [replace(wanted, id=one) for one in dict.fromkeys(ids)]
        counts = [len([1 async for _ in matching(operator, one, shelf)]) for one in filters]
        if ids is not None and (missing := [one.id for one, count in zip(filters, counts, strict=True) if not count]):
            fail(f"there is no {_NAMES[shelf]} {', '.join(map(str, missing))}")
        if not sum(counts):
            fail(f"no {_NAMES[shelf]}s match")
        return cls(shelf, filters, sum(counts))

    async def letters(self, operator: Operator) -> AsyncIterator[DeadLetter]:
        """Each of them."""
        for wanted in self.filters:
            async for letter in matching(operator, wanted, self.shelf):
                yield letter


async def show_letter(
    operator: Operator, letter_id: str, destination: str | None, shelf: Shelf, *, reveal: bool
) -> None:
    """One letter whole: the reason, the last answer, the call and the original event."""
    letter = await find_letter(operator, letter_id, destination, shelf)
    out.print(JSON(orjson.dumps(whole(letter, reveal=reveal)).decode()))


async def find_letter(
    operator: Operator, letter_id: str, destination: str | None, shelf: Shelf = Shelf.DEAD
) -> DeadLetter:
    """The one with this id. Where destinations have one each, which is meant has to be said."""
    letters = [letter async for letter in matching(operator, Filter(destination, id=letter_id), shelf)]
    if not letters:
        fail(f"there is no {_NAMES[shelf]} {letter_id}")
    if len(letters) > 1:
        fail(f"{' and '.join(letter.destination for letter in letters)} have a {letter_id} each: say --destination", 2)
    return letters[0]


async def paced(letters: AsyncIterator[DeadLetter], rate: float | None) -> AsyncIterator[DeadLetter]:
    """The same, at most `rate` a second, until Ctrl-C: what is being done then is done to its end."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)
    started, number = time.monotonic(), 0
    async for letter in letters:
        if rate is not None and (early := started + number / rate - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), early)
        if stopping.is_set():
            return
        yield letter
        number += 1


def whole(letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    """All of a letter: what is known of it, the call and the original event, masked unless revealed."""
    call = None if letter.body is None else orjson.loads(letter.body)
    original = orjson.loads(letter.event)
    if not reveal:
        (call,) = mask_personal({letter.endpoint: call}).values()
        original = mask_personal(original)
    return summary(letter) | {"call": call, "original": original}


def confirm(question: str, *, agreed: bool) -> None:
    """Ask, unless the operator has agreed already."""
    if not agreed:
        typer.confirm(question, abort=True)


async def send_again(
    operator: Operator, letter: DeadLetter, *, ignore_age: bool = False, priority: Priority | None = None
) -> str:
    """Replay one letter, with the priority it had unless another is given; what became of it, in words."""
    destination = operator.topology.destinations[letter.destination]
    deadline = datetime.now(UTC) + timedelta(hours=destination.delivery.horizon_hours)
    ending = ""
    deliveries: tuple[Delivery, ...] = ()
    if letter.endpoint is not None:
        deliveries = (letter.revived(deadline, calls=1),)
    else:
        plan = plan_for(operator.topology, letter.destination, letter.source)
        known = await read_attributes(operator.redis, [letter.destination])
        plan = replace(plan, any_age=True) if ignore_age else plan
        match await decide_again(operator.redis, letter, plan, known[letter.destination]):
            case Forward(deliveries=mapped):
                deliveries = tuple(changed(delivery, deadline_ms=to_ms(deadline)) for delivery in mapped)
            case Drop(reason=reason):
                ending = f"dropped:{reason.value}"
            case Bury(reason=reason, detail=detail):
                return f"kept, still {reason}: {detail}"
            case Forget(subject=subject):  # first of all, and known by the event's id: a second time changes nothing
                key = event_key(letter.source, letter.message_id)
                request = Request(key.hex(), subject, f"event of {letter.source}", letter.message_id)
                await ask(operator.redis, letter.destination, request)
                ending = "dropped:deletion"
    if priority is not None:
        deliveries = tuple(changed(delivery, priority=priority) for delivery in deliveries)
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


def summary(letter: DeadLetter) -> dict[str, Any]:
    """What may be shown of a letter: no personal data."""
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
