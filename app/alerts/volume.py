"""How many events each source sends, by the hour, and whether that is as it was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from app.alerts.rules import AlertId
from app.store.hashes import read_hashes
from app.store.keys import AlertKeys

LEAST_OF_SILENT: Final = 60  # events in the hour that is compared with
LEAST_OF_DROPPED: Final = 100
_HOUR_MS: Final = 3_600_000
_DAY: Final = 24  # hours
_WEEK: Final = 7 * _DAY


@dataclass(frozen=True, slots=True)
class SourceVolume:
    """The events of one source. An hour before it sent anything counts 0."""

    this_hour_yesterday: int
    this_hour_last_week: int
    last_hour: int  # the one that has just ended
    last_hour_a_week_ago: int
    last_hour_two_weeks_ago: int
    last_event: int | None  # epoch ms


async def read_volume(redis: Redis, sources: Sequence[str], now: int) -> Mapping[str, SourceVolume]:
    """The volume of each source. `now` is epoch ms. Raises StoreError."""
    hour = now // _HOUR_MS
    hours = (hour - _DAY, hour - _WEEK, hour - 1, hour - 1 - _WEEK, hour - 1 - 2 * _WEEK)
    *pages, last = await read_hashes(redis, [*map(AlertKeys.volume, hours), AlertKeys.last_event])
    found = {}
    for source in sources:
        name = source.encode()
        counts = [int(page.get(name, 0)) for page in pages]
        found[source] = _volume(counts, int(last[name]) if name in last else None)
    return found


def _volume(counts: Sequence[int], last_event: int | None) -> SourceVolume:
    yesterday, last_week, last_hour, a_week_ago, two_weeks_ago = counts
    return SourceVolume(yesterday, last_week, last_hour, a_week_ago, two_weeks_ago, last_event)


def silent(volume: Mapping[str, SourceVolume], now: int) -> Iterator[tuple[AlertId, float]]:
    """For how many seconds each source that usually sends at this hour has sent nothing."""
    for source, each in volume.items():
        usual = each.this_hour_last_week or each.this_hour_yesterday
        if each.last_event is not None and usual >= LEAST_OF_SILENT:
            yield AlertId("source_silent", (source,)), max(0.0, (now - each.last_event) / 1000)


def dropped(volume: Mapping[str, SourceVolume]) -> Iterator[tuple[AlertId, float]]:
    """By which share the last full hour of each source is below the same hour of the last two weeks."""
    for source, each in volume.items():
        usual = min(each.last_hour_a_week_ago, each.last_hour_two_weeks_ago)
        if usual >= LEAST_OF_DROPPED:
            yield AlertId("source_drop", (source,)), max(0.0, 1 - each.last_hour / usual)
