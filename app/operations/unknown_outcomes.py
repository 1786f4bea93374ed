"""Calls that Attentive may or may not have processed: ending their review, and how many may be there twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.attentive.endpoints import BY_NAME, Repeat
from app.delivery.counters import read_counters
from app.delivery.unknown import SENT_BY_HAND, WhenUnknown
from app.operations.dead_letters import Selection, delete
from app.operations.operator import Operator
from app.operations.replay import in_words, replay


@dataclass(frozen=True, slots=True)
class Tally:
    """The unknown outcomes of one endpoint since counting began."""

    destination: str
    endpoint: str
    sent_again: int
    verified: int
    in_review: int
    given_up: int
    repeat: Repeat | None  # what a second call does; None for an endpoint that this version does not know

    @property
    def possible_duplicates(self) -> int:
        """At most this many calls were processed twice to any effect."""
        return 0 if self.repeat is Repeat.HARMLESS else self.sent_again


async def tallies(operator: Operator, destination: str | None = None) -> list[Tally]:
    """The tallies of one destination or of all. Raises BadRequest."""
    return [
        tally_of(page.destination, endpoint, page.unknown_calls)
        for page in await read_counters(operator.redis, operator.chosen(destination))
        for endpoint in dict.fromkeys(endpoint for endpoint, _ in page.unknown_calls)
    ]


def tally_of(destination: str, endpoint: str, calls: Mapping[tuple[str, str], int]) -> Tally:
    """The tally of one endpoint, from the counted calls by endpoint and what followed."""
    count = Counter({then: number for (one, then), number in calls.items() if one == endpoint})
    return Tally(
        destination,
        endpoint,
        sent_again=count[WhenUnknown.SEND_AGAIN] + count[SENT_BY_HAND],
        verified=count[WhenUnknown.VERIFY],
        in_review=count[WhenUnknown.REVIEW],
        given_up=count[WhenUnknown.GIVE_UP],
        repeat=BY_NAME[endpoint].repeat if endpoint in BY_NAME else None,
    )


def possible_duplicates(found: Sequence[Tally]) -> int:
    """At most this many calls reached Attentive twice to any effect."""
    return sum(each.possible_duplicates for each in found)


async def resolve(operator: Operator, calls: Selection, *, send: bool) -> Counter[str]:
    """End the review of calls: send them, or discard them. What became of how many, in words."""
    results: Counter[str] = Counter()
    async for call in calls.dead_letters(operator):
        if send:
            results[in_words(await replay(operator, call))] += 1
        elif await delete(operator, call):
            results["discarded"] += 1
    return results
