"""Whether an identifier belongs to stored profiles, and to which users, whatever their source."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from app.profiles.profile import contact_digest, record_name
from app.store.keys import DestinationKeys
from app.store.presence import present
from app.store.script import Script

Contact = tuple[str, str]  # "email" or "phone", and its value as it is sent
Identifier = tuple[str, str]  # a contact, or another one, such as "shopify_id"
_LISTED: Final = Script("listed", keys=("@contacts",))
_AT_ONCE: Final = 90  # identifiers of one run, each with up to 100 names


async def known_contacts(redis: Redis, destination: str, contacts: Sequence[Contact]) -> set[Contact]:
    """Those of these contacts that a profile holds. Raises RedisError."""
    keys = DestinationKeys(destination)
    return await present(redis, {contact: keys.contact(contact_digest(*contact)) for contact in contacts})


async def users_with(redis: Redis, destination: str, identifiers: Collection[Identifier]) -> dict[Identifier, set[str]]:
    """The users that each of these identifiers is listed for, by the digests of their IDs. Raises RedisError.

    Anonymous visitors do not count. At most 100 names are listed for an identifier.
    """
    keys = DestinationKeys(destination)
    contacts = [keys.contact(contact_digest(kind, value)) for kind, value in identifiers]
    pages: list[Any] = []
    for start in range(0, len(contacts), _AT_ONCE):
        pages += await _LISTED.run(redis, {"contacts": contacts[start : start + _AT_ONCE]}, {})
    return {
        identifier: {user for name in page if (user := _user_in(name.decode())) is not None}
        for identifier, page in zip(identifiers, pages, strict=True)
    }


def user_digest(user_id: str) -> str:
    """The digest of a user ID, as `users_with` returns it."""
    return record_name("", "u", user_id).partition(":")[2]


def _user_in(name: str) -> str | None:
    """The digest of the user in the name of a record, whatever its source. None for an anonymous visitor."""
    own = name.partition(":")[2].partition(".")[0]
    return own if own.startswith("u") else None
