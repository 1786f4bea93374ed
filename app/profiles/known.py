"""Whether an identifier belongs to stored profiles, and to which users, whatever their source."""

from collections.abc import Collection, Sequence

from redis.asyncio import Redis

from app.profiles.contacts import read_many_lists
from app.profiles.profile import contact_digest, record_name

Contact = tuple[str, str]  # "email" or "phone", and its value as it is sent
Identifier = tuple[str, str]  # a contact, or another one, such as "shopify_id"


async def known_contacts(redis: Redis, destination: str, contacts: Sequence[Contact]) -> set[Contact]:
    """Those of these contacts that a profile holds. Raises RedisError."""
    return {contact for contact, names in (await _lists(redis, destination, contacts)).items() if names}


async def users_with(redis: Redis, destination: str, identifiers: Collection[Identifier]) -> dict[Identifier, set[str]]:
    """The users that each of these identifiers is listed for, by the digests of their IDs. Raises RedisError.

    Anonymous visitors do not count. At most 100 names are listed for an identifier.
    """
    return {
        identifier: {user for name in names if (user := _user_in(name)) is not None}
        for identifier, names in (await _lists(redis, destination, identifiers)).items()
    }


async def _lists(redis: Redis, destination: str, identifiers: Collection[Identifier]) -> dict[Identifier, list[str]]:
    digests = {identifier: contact_digest(*identifier) for identifier in identifiers}
    lists = await read_many_lists(redis, destination, list(digests.values()))
    return {identifier: lists[digest] for identifier, digest in digests.items()}


def user_digest(user_id: str) -> str:
    """The digest of a user ID, as `users_with` returns it."""
    return record_name("", "u", user_id).partition(":")[2]


def _user_in(name: str) -> str | None:
    """The digest of the user in the name of a record, whatever its source. None for an anonymous visitor."""
    own = name.partition(":")[2].partition(".")[0]
    return own if own.startswith("u") else None
