"""The record of calls in Redis: who watches, how much is kept, what is removed. See recording.py and settle.lua."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from app.delivery.journal.event_rows import EventFilter
from app.delivery.journal.recording import Recording, stored_filter
from app.delivery.journal.row_index import message_word
from app.store.keys import DestinationKeys
from app.store.script import Arguments, Script

WATCHED_FOR: Final = timedelta(seconds=15)  # then a watcher that has not come back is forgotten
_WATCH: Final = Script("watch", keys=("tap",), args=("watcher", "filter", "life_ms"))
_NOTE: Final = Script(
    "note",
    keys=("journal", "journal_index"),
    args=("message_id", "step", "record", "rows", "journal_entries"),
    after=("entry_id", "journal"),
)
_CALLS: Final = ("calls", "calls_index", "calls_bytes")
_TRIM: Final = Script(
    "trim_calls", keys=_CALLS, args=("most_calls", "most_bytes", "oldest_ms"), after=("entry_id", "calls")
)
_TRIM_INDEX: Final = Script("trim_index", keys=("journal", "journal_index"), after=("entry_id",))
_REMOVE: Final = Script(
    "remove_recorded", keys=(*_CALLS, "erasure"), args=("field", "*ids"), after=("entry_id", "calls")
)
_BLANKED_AT_ONCE: Final = 2_000  # events; Lua's stack holds some thousand values
_BLANK: Final = Script("blank_rows", keys=("index",), args=("page", "*messages"))


async def note(
    redis: Redis, destination: str, message_id: str, step: str, record: bytes, rows: bytes, *, entries: int
) -> None:
    """Write one journal entry that belongs to no other change. `entries` bounds the journal. Raises RedisError."""
    keys = DestinationKeys(destination)
    facts: Arguments = {
        "message_id": message_id,
        "step": step,
        "record": record,
        "rows": rows,
        "journal_entries": entries,
    }
    await _NOTE.run(redis, {"journal": keys.journal, "journal_index": keys.journal_index}, facts)


async def watch(redis: Redis, destination: str, watcher: str, wanted: EventFilter) -> None:
    """Record the calls that match a filter for WATCHED_FOR. Repeat this while a person watches.

    `watcher` is a name that the caller chooses, such as a random one. Workers ignore which people a filter names: they
    record every call that the rest of the filter matches, and the caller filters by person. Raises RedisError.
    """
    keys, life_ms = {"tap": DestinationKeys(destination).tap}, int(WATCHED_FOR.total_seconds() * 1000)
    await _WATCH.run(redis, keys, {"watcher": watcher, "filter": stored_filter(wanted), "life_ms": life_ms})


async def stop_watching(redis: Redis, destination: str, watcher: str) -> None:
    """End a watch early. Raises RedisError."""
    keys = {"tap": DestinationKeys(destination).tap}
    await _WATCH.run(redis, keys, {"watcher": watcher, "filter": "", "life_ms": 0})


async def trim(redis: Redis, destinations: Sequence[str], recording: Recording, keep: timedelta) -> None:
    """Remove recorded calls that are too old or too many, and index entries of journal rows that are gone.

    `keep` is the age limit. Raises RedisError.
    """
    oldest_ms = int((time.time() - keep.total_seconds()) * 1000)
    limits = {"most_calls": recording.calls, "most_bytes": recording.bytes, "oldest_ms": oldest_ms}
    for destination in destinations:
        while await _TRIM.run(redis, _calls_keys(destination), limits):
            pass
        keys = DestinationKeys(destination)
        while await _TRIM_INDEX.run(redis, {"journal": keys.journal, "journal_index": keys.journal_index}, {}):
            pass


async def remove_recorded(redis: Redis, destination: str, ids: Sequence[bytes], *, erasure: str, field: str) -> None:
    """Remove recorded calls, and add their number to a field of the erasure's record. Raises RedisError."""
    await _REMOVE.run(redis, {**_calls_keys(destination), "erasure": erasure}, {"field": field, "ids": ids})


async def blank_rows(redis: Redis, destination: str, message_ids: Sequence[str]) -> None:
    """Remove the rows of these events, of any number, from both indexes. Raises RedisError."""
    keys, messages = DestinationKeys(destination), [message_word(message_id) for message_id in message_ids]
    for start in range(0, len(messages), _BLANKED_AT_ONCE):
        some = messages[start : start + _BLANKED_AT_ONCE]
        for index in (keys.journal_index, keys.calls_index):
            page = 0
            while await _BLANK.run(redis, {"index": index}, {"page": page, "messages": some}):
                page += 1


def _calls_keys(destination: str) -> dict[str, str]:
    keys = DestinationKeys(destination)
    return {"calls": keys.calls, "calls_index": keys.calls_index, "calls_bytes": keys.calls_bytes}
