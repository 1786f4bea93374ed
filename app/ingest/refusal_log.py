"""A sample of the refusals of the intake, for operators. It costs accepted events nothing, refused ones very little.

One process records at most PER_MINUTE refusals per source and code in a minute, and counts the others. So the holder
of a public write key can fill neither Redis nor the record of other sources.
"""

import re
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import msgspec

from app.delivery.journal.refusals import Refusal
from app.ingest.refusal import Refused
from app.masking import mask_text
from app.segment.events import internal_message_id

PER_MINUTE: Final = 10
MOST_PENDING: Final = 500  # while Redis is unreachable; the oldest are removed first
MOST_IDS: Final = 10
_MINUTE_S: Final = 60.0
_TEXT_CHARS: Final = 300
_SEARCHED_BYTES: Final = 1_048_576
_ID_IN_JSON: Final = re.compile(rb'"messageId"\s*:\s*"([^"\\]{1,100})"')

Store = Callable[[Sequence[Refusal]], Awaitable[None]]


class RefusalLog:
    """Samples refusals, and stores them in the background."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`store` raises RedisError if it cannot store refusals. They are kept for the next attempt."""
        self._store = store
        self._clock = clock
        self._pending: deque[Refusal] = deque(maxlen=MOST_PENDING)
        self._windows: dict[tuple[str, str], _Window] = {}

    def note(self, refused: Refused, path: str, content: object = None) -> None:
        """Record a refusal, unless enough of its kind are recorded. `content` is the raw body or the decoded event."""
        window = self._windows.get((refused.source, refused.code))
        if window is None:
            window = self._windows[refused.source, refused.code] = _Window(self._clock())
        window.seen += 1
        window.last = refused, path
        if window.seen <= PER_MINUTE:
            self._pending.append(_refusal(refused, path, message_ids_in(content)))

    async def flush(self) -> None:
        """Store what is pending. Raises RedisError: then it stays pending."""
        self._close_windows()
        if not self._pending:
            return
        leaving = list(self._pending)
        self._pending.clear()
        try:
            await self._store(leaving)
        except BaseException:
            self._pending.extendleft(reversed(leaving[-(MOST_PENDING - len(self._pending)) :]))
            raise

    def _close_windows(self) -> None:
        now = self._clock()
        for kind, window in list(self._windows.items()):
            if now - window.began >= _MINUTE_S:
                del self._windows[kind]
                if window.seen > PER_MINUTE:
                    self._pending.append(_refusal(*window.last, others=window.seen - PER_MINUTE))


class _Window:
    """The refusals of one source and code within a minute."""

    __slots__ = ("began", "last", "seen")

    def __init__(self, began: float) -> None:
        self.began = began  # s, by the clock of RefusalLog
        self.seen = 0
        self.last: tuple[Refused, str]


def _refusal(refused: Refused, path: str, ids: Sequence[str] = (), *, others: int = 0) -> Refusal:
    return Refusal(
        datetime.now(UTC),
        refused.source,
        mask_text(path[:_TEXT_CHARS]),
        refused.status,
        refused.code,
        mask_text(refused.message[:_TEXT_CHARS]),
        None if refused.field is None else mask_text(refused.field[:_TEXT_CHARS]),
        tuple(ids),
        others,
    )


def shown_id(message_id: str) -> str:
    """A message ID as the record shows it: masked, and as a digest if it is long."""
    return mask_text(internal_message_id(message_id))


class _Named(msgspec.Struct):
    messageId: Any = None  # noqa: N815


class _Body(msgspec.Struct):
    messageId: Any = None  # noqa: N815
    batch: list[_Named] | None = None


_BODY: Final = msgspec.json.Decoder(_Body | list[_Named])


def message_ids_in(content: object) -> list[str]:
    """The message IDs of the first events of a body or of a decoded event, as far as they can be found."""
    match content:
        case bytes() | msgspec.Raw():
            found = _ids_of_json(_inflated(bytes(content)))
        case dict():
            found = [content.get("messageId")]
        case _:
            found = []
    ids = (each for each in found if isinstance(each, str) and each.strip())
    return [shown_id(each) for each in islice(ids, MOST_IDS)]


def _ids_of_json(body: bytes) -> list[Any]:
    try:
        named = _BODY.decode(body)
    except (msgspec.MsgspecError, RecursionError):  # not JSON, or truncated
        return [each[1].decode(errors="replace") for each in islice(_ID_IN_JSON.finditer(body), MOST_IDS)]
    if isinstance(named, list):
        return [event.messageId for event in named]
    return [named.messageId, *(event.messageId for event in named.batch or ())]


def _inflated(body: bytes) -> bytes:
    """The beginning of a body, decompressed."""
    if body[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            return zlib.decompressobj(wbits=31).decompress(body, _SEARCHED_BYTES)
    return body[:_SEARCHED_BYTES]
