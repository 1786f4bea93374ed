"""An erasure removes a person's recorded calls and leaves those of others. On a real Redis."""

from typing import Any, Final

import pytest
from redis.asyncio import Redis

from app.delivery.journal.event_rows import EventFilter
from app.delivery.journal.event_search import search_events
from app.delivery.journal.recording import Recording
from app.erasure.removal import Stores, forget
from app.erasure.requests import Erasure, State
from app.erasure.subject import Subject
from app.store.keys import DestinationKeys
from tests.builders import track
from tests.delivery.history import ACME, History

KEYS: Final = DestinationKeys(ACME)
ORDER: Final[dict[str, Any]] = {"products": [{"product_id": "p", "name": "Mug", "price": 5, "currency": "USD"}]}


async def checkpoint() -> None:
    """Nothing ends the pass."""


@pytest.mark.parametrize("journal", [True, False], ids=["with the journal", "after the journal let go of them"])
@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(Subject.of(emails=["ada@example.com"]), id="by the address"),
        pytest.param(Subject.of(user_ids=["customer-1042"]), id="by the user ID"),
    ],
)
async def test_the_recorded_calls_of_one_person_go(redis: Redis, subject: Subject, journal: bool) -> None:
    history = History(redis, recording=Recording(share=1.0))
    ada, bea = ({"traits": {"email": f"{name}@example.com"}} for name in ("ada", "bea"))
    await history.arrive(
        track("Order Completed", {**ORDER, "order_id": "1"}, context=ada, userId="customer-1042"),
        track("Order Completed", {**ORDER, "order_id": "2"}, context=bea, userId="customer-2000"),
    )
    await history.attempt("purchase")
    if not journal:
        await redis.delete(KEYS.journal, KEYS.journal_index)
    erasure = Erasure("e-1", State.FORGETTING, subject, {})
    await forget(Stores(redis, ACME, [], ["shop"], ["shop"]), [erasure], checkpoint)
    assert await redis.xlen(KEYS.calls) == 1
    ((_, fields),) = await redis.xrange(KEYS.calls)
    assert int(await redis.get(KEYS.calls_bytes) or 0) == len(fields[b"d"]) + 48
    removed: Any = await redis.hgetall(KEYS.erasure("e-1"))  # type: ignore[misc]
    assert removed[b"removed:calls"] == b"1"
    for wanted, found in ((EventFilter(order_id="1"), []), (EventFilter(order_id="2"), ["m-2"])):
        page = await search_events(redis, [ACME], wanted, limit=9)
        assert [event.message_id for event in page.events] == found
