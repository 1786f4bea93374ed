"""What is wrong with kept calls, in few lines: those that fail for one reason, with one event, together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.delivery.dead_letters import newest_dead_letters
from app.operations.operator import Operator

READ_MOST: Final = 10_000  # of each destination, the newest


@dataclass(frozen=True, slots=True)
class Group:
    """Calls of one destination and endpoint that failed for one reason, with one detail and one event."""

    destination: str
    endpoint: str | None
    reason: str
    detail: str
    event: str
    count: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """The newest calls that match, and all that were read in groups, the largest first."""

    newest: Sequence[DeadLetter]
    groups: Sequence[Group]
    count: int
    complete: bool  # False: there are older ones, which were not read


async def survey(operator: Operator, wanted: Filter, queue: DeadLetterQueue, *, limit: int) -> Survey:
    """Read the newest calls of a queue, and keep `limit` of them."""
    now = datetime.now(UTC)
    kept: list[DeadLetter] = []
    groups: dict[tuple[str, str | None, str, str, str], Group] = {}
    count, complete = 0, True
    for destination in operator.chosen(wanted.destination):
        read = 0
        async for dead_letter in newest_dead_letters(operator.redis, destination, wanted, now=now, queue=queue):
            if read == READ_MOST:
                complete = False
                break
            read += 1
            if read <= limit:
                kept.append(dead_letter)
            _add(groups, dead_letter)
        count += read
    kept.sort(key=lambda dead_letter: dead_letter.died_at, reverse=True)
    return Survey(kept[:limit], sorted(groups.values(), key=lambda group: -group.count), count, complete)


def _add(groups: dict[tuple[str, str | None, str, str, str], Group], dead_letter: DeadLetter) -> None:
    key = (
        dead_letter.destination,
        dead_letter.endpoint,
        dead_letter.reason,
        dead_letter.detail,
        dead_letter.event_name,
    )
    died = dead_letter.died_at
    if (group := groups.get(key)) is None:
        groups[key] = Group(*key, 1, died, died)
    else:
        groups[key] = replace(
            group, count=group.count + 1, oldest=min(group.oldest, died), newest=max(group.newest, died)
        )
