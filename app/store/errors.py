"""Redis errors, under the names by which other rooms catch them.

Any command may raise `StoreError`. The others are kinds of it.
"""

from typing import Final

from redis import exceptions

StoreError = exceptions.RedisError
StoreFull = exceptions.OutOfMemoryError  # it is out of memory and may not evict anything
CommandRefused = exceptions.ResponseError  # the server does not support the command, or this login may not run it
LockLost = exceptions.LockError  # the lock has expired, or another process holds it
UNREACHABLE: Final = (exceptions.ConnectionError, exceptions.TimeoutError)  # also while a server loads its file
# Errors that pass by themselves: also those while a replica of a cluster takes over, or a slot moves.
PASSING: Final = (
    *UNREACHABLE,
    exceptions.ClusterDownError,
    exceptions.AskError,  # MovedError is one
    exceptions.TryAgainError,
    exceptions.ReadOnlyError,
)
