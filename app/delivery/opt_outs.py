"""Which phone numbers and e-mail addresses have opted out, as far as the gateway has taken their opt-outs in."""

from collections.abc import Collection

from redis.asyncio import Redis

from app.delivery.last_sent import opt_out_name
from app.store.keys import DestinationKeys
from app.store.presence import present

Contact = tuple[str, str]  # "phone" or "email", and its value as it is sent


async def opted_out(redis: Redis, destination: str, contacts: Collection[Contact]) -> set[Contact]:
    """Those of these contacts that have opted out, and not in again by an event since. Raises RedisError."""
    keys = DestinationKeys(destination)
    return await present(redis, {contact: keys.last_sent(opt_out_name(*contact)) for contact in contacts})
