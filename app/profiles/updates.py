"""Updates of stored profiles without an arriving event, such as those of a dead letter that is decided again.

The updates of arriving events are written by enqueue.lua, in the same step as the event.
"""

import time
from collections.abc import Sequence

from redis.asyncio import Redis

from app.profiles.profile import PROFILE_PARTS, ProfileUpdate
from app.store.keys import DestinationKeys
from app.store.script import KeyPlaces, Script

_UPDATE = Script("update_profiles", keys=("@profiles",), args=("@updates",), after=PROFILE_PARTS)


async def update_profiles(redis: Redis, destination: str, updates: Sequence[ProfileUpdate]) -> list[str]:
    """Apply these updates. The result per update is "send" or "block" if it would merge two people, else "".

    Repeating them changes nothing. Raises RedisError.
    """
    shared, now_s = DestinationKeys(destination), time.time()
    keys: list[str] = []
    places = KeyPlaces(keys)
    args = [each.to_json(shared, places.place, now_s=now_s) for each in updates]
    while True:
        answer = await _UPDATE.run(redis, {"profiles": keys}, {"updates": args})
        if answer[:1] != [b"more"]:
            return [verdict.decode() for verdict in answer]
        for name in answer[1]:
            places.place(shared.profile(name.decode()))
