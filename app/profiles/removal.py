"""Removes a person's profiles from Redis, with their entries in the lists of contact holders."""

from collections.abc import Collection, Iterable
from typing import Final

from redis.asyncio import Redis

from app.profiles.contacts import leave_lists
from app.profiles.lookup import holders, stored_profiles
from app.profiles.profile import Profile, contact_digest, record_names, source_in
from app.store.keys import DestinationKeys

_SLICE: Final = 200  # records per round trip


async def remove_person(
    redis: Redis,
    destination: str,
    *,
    sources: Collection[str],
    trusted: Collection[str] | None = None,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    email: str | None = None,
    phone: str | None = None,
) -> int:
    """Remove a person's profiles, and their names from the lists of contact holders. Returns how many records.

    This removes everything stored under the given IDs in any of `sources`, under any ID that holds one of the given
    contacts (normalised), under the IDs that aliases lead to or from, and under any ID that shares a contact with one
    of these. Another person who shares a contact is removed as well, and stored again by their next identify call.

    Links are followed only if one of the `trusted` sources made them (without it: any). Claims about the given
    identifiers are removed, and lead to no other person.

    Raises RedisError. Facts of an event that is accepted at the same moment may stay.
    """
    trusted = sources if trusted is None else trusted
    public = [source for source in sources if source not in trusted]
    user_ids, anonymous_ids = _given(user_id), _given(anonymous_id)
    contacts = {contact_digest(what, value) for what, value in (("email", email), ("phone", phone)) if value}
    claimed = contacts | ({contact_digest("user", each) for each in user_ids})
    names, theirs = await _all_about(redis, destination, record_names(trusted, user_ids, anonymous_ids))
    linked = await holders(redis, destination, contacts)
    more, others = await _all_about(redis, destination, {name for name in linked if source_in(name) in trusted})
    contacts.update(*(person.contacts for person in (*theirs, *others)))
    linked |= await holders(redis, destination, contacts)
    names |= more | {name for name in linked if source_in(name) in trusted}
    names, everybody = await _all_about(redis, destination, names)
    contacts.update(*(person.contacts for person in everybody))
    claims = linked - names | await holders(redis, destination, claimed, claims=True)
    claims |= record_names(public, user_ids, anonymous_ids)
    claims, claimants = await _all_about(redis, destination, claims)
    claimed.update(*(person.contacts for person in claimants))
    shared = DestinationKeys(destination)
    everything = names | claims
    await leave_lists(redis, destination, contacts, everything)
    await leave_lists(redis, destination, claimed, everything, claims=True)
    records = list(map(shared.profile, everything))
    gone = 0
    for start in range(0, len(records), _SLICE):  # last, so that a repeated removal finds the rest
        gone += await redis.unlink(*records[start : start + _SLICE])
    return gone


def _given(value: str | None) -> list[str]:
    return [] if value is None else [value]


async def _all_about(redis: Redis, destination: str, given: Iterable[str]) -> tuple[set[str], list[Profile]]:
    """The profiles of these names, and all the names that lead to them."""
    names, people = set(given), []
    open_names = set(names)
    while open_names:
        records = await stored_profiles(redis, [(destination, name, name) for name in open_names])
        open_names = set()
        for record in records:
            if isinstance(record, Profile):
                people.append(record)
                names.update(record.was)
            elif record is not None:
                open_names.add(record)
        open_names -= names
        names |= open_names
    return names, people
