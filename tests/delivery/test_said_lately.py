"""What is left out because it was said before, as the scripts remember it. A real Redis keeps it."""

from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import orjson
import pytest
from redis.asyncio import Redis

from app.delivery.arrival import Arrival, calls_of
from app.delivery.backlog import Entry, Lane, LaneLease, buried, done
from app.delivery.dead_letters import DeadLetter
from app.delivery.delivery import Delivery
from app.delivery.outbox import Outbox
from app.delivery.pace import Pace
from tests.builders import EMAIL, PHONE, delivery

HOUR: Final = 3600
BOTH: Final = {"phone": PHONE, "email": EMAIL}
_NUMBERS: Final = count(1)


@pytest.fixture
def shop(redis: Redis) -> "Shop":
    return Shop(redis, Outbox(redis, wake=lambda *_: None, journal_entries=100))


@dataclass(frozen=True)
class Shop:
    """Somebody says things, and Attentive takes them in or does not."""

    redis: Redis
    outbox: Outbox

    async def says(self, endpoint: str, user: dict[str, str], *, within_s: int = HOUR, **body: Any) -> None:
        message_id = f"message-{next(_NUMBERS)}"
        call = delivery(
            message_id=message_id, endpoint=endpoint, body=orjson.dumps({"user": user} | body), once_in_s=within_s
        )
        await self.outbox.submit("acme", [Arrival(call.event_key, message_id, b"{}", calls=calls_of([call]))])

    async def opts_in(self, user: dict[str, str] | None = None, *, source: str = "1", within_s: int = HOUR) -> None:
        await self.says("subscribe", user or BOTH, within_s=within_s, signUpSourceId=source)

    async def opts_out(self, user: dict[str, str] | None = None) -> None:
        await self.says("unsubscribe", user or BOTH)

    async def waiting(self, endpoint: str = "subscribe") -> int:
        return int(await self.redis.xlen(Lane("acme", endpoint).keys.streams[1]))

    async def settle(self, *, dies: bool = False, endpoint: str = "subscribe") -> None:
        """Everything that waits is accepted, or given up."""
        lease = LaneLease(self.redis, Lane("acme", endpoint), Pace(1000), journal_entries=100)
        assert await lease.acquire()
        claim = await lease.claim(100, under_way=0)
        await lease.settle([_end(entry, dies=dies) for entry in claim.entries])
        await lease.release()

    async def let_time_pass(self, seconds: int) -> None:
        """Make every memory so much older."""
        for key in [key async for key in self.redis.scan_iter("*:said:*")]:
            value = await self.redis.get(key)
            mark, said_at = value[:-10], int(value[-10:])
            await self.redis.set(key, mark + str(said_at - seconds).encode(), keepttl=True)


def _end(entry: Entry, *, dies: bool) -> Any:
    call = Delivery.unpacked(entry.payload)
    letter = DeadLetter.of(call, "http_400", "", {})
    return buried(entry, call, b"{}", letter) if dies else done(entry, call, b"{}")


class TestAnOptIn:
    @pytest.mark.parametrize("accepted", [False, True])
    async def test_that_comes_twice_is_sent_once(self, shop: Shop, accepted: bool) -> None:
        await shop.opts_in()
        if accepted:
            await shop.settle()
        await shop.opts_in()
        assert await shop.waiting() == (0 if accepted else 1)

    async def test_that_attentive_refused_may_be_said_again(self, shop: Shop) -> None:
        await shop.opts_in()
        await shop.settle(dies=True)
        await shop.opts_in()
        assert await shop.waiting() == 1

    async def test_after_an_opt_out_is_news(self, shop: Shop) -> None:
        for _ in range(2):
            await shop.opts_in()
            await shop.opts_out()
        assert (await shop.waiting(), await shop.waiting("unsubscribe")) == (2, 2)

    async def test_after_an_opt_out_of_one_contact_is_news(self, shop: Shop) -> None:
        await shop.opts_in()
        await shop.opts_out({"email": EMAIL})
        await shop.opts_in()
        assert await shop.waiting() == 2

    async def test_with_another_contact_is_news(self, shop: Shop) -> None:
        await shop.opts_in({"email": EMAIL})
        await shop.opts_in()
        await shop.opts_in({"phone": PHONE})
        assert await shop.waiting() == 2

    async def test_to_something_else_is_news(self, shop: Shop) -> None:
        await shop.opts_in(source="1")
        await shop.opts_in(source="2")
        assert await shop.waiting() == 2

    async def test_is_news_to_an_event_when_it_is_none_to_a_trait(self, shop: Shop) -> None:
        """An act counts again after its hour; the state that every page repeats does not, for its year."""
        await shop.opts_in(within_s=366 * 86_400)
        await shop.settle()
        await shop.let_time_pass(2 * HOUR)
        await shop.opts_in(within_s=366 * 86_400)
        assert await shop.waiting() == 0
        await shop.opts_in(within_s=HOUR)
        assert await shop.waiting() == 1
        await shop.settle()
        assert all([await shop.redis.ttl(key) > 300 * 86_400 async for key in shop.redis.scan_iter("*:said:*")])
        await shop.opts_in(within_s=366 * 86_400)
        assert await shop.waiting() == 0


async def test_an_opt_out_that_comes_twice_is_sent_once(shop: Shop) -> None:
    await shop.opts_out()
    await shop.opts_out()
    assert await shop.waiting("unsubscribe") == 1
