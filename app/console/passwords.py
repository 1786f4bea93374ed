"""Passwords: argon2id hashes, checked a few at a time, and slowed down after failures."""

import asyncio
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.store.connection import Redis
from app.store.keys import ConsoleKeys

MOST_FAILURES: Final = 10
FAILURES_LIFE_S: Final = 15 * 60
_AT_ONCE: Final = 2  # each check takes 64 MiB for some 50 ms

_hasher = PasswordHasher()


@cache
def _of_no_user() -> str:
    """Checked for a user that does not exist, so that the time of the answer does not reveal whether there is one."""
    return _hasher.hash("no user has this password")


class TooManyFailures(Exception):  # noqa: N818 - it ends one sign-in
    """This user failed to sign in too often in the last minutes."""


class Passwords:
    """Checks passwords against hashes. Each method raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._checking = asyncio.Semaphore(_AT_ONCE)

    async def check(self, user: str, password: str, hashes: Mapping[str, str]) -> bool:
        """Whether this is the user's password. Raises TooManyFailures."""
        key = ConsoleKeys.failures(hashlib.sha256(user.encode()).hexdigest())
        await self._redis.set(key, 0, ex=FAILURES_LIFE_S, nx=True)  # EXPIRE has no NX before Redis 7
        failures = await self._redis.incr(key)
        if failures > MOST_FAILURES:
            raise TooManyFailures
        async with self._checking:
            good = await asyncio.to_thread(_matches_user, hashes.get(user), password)
        if good and user in hashes:
            await self._redis.delete(key)
            return True
        return False


def _matches_user(stored: str | None, password: str) -> bool:
    return matches(_of_no_user() if stored is None else stored, password)


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """The argon2id hash of a password, for the configuration; with a random salt where none is given."""
    return _hasher.hash(password, salt=salt)


def matches(stored: str, password: str) -> bool:
    """Whether a hash is of this password."""
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
