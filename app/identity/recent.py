"""Results about recently seen people, cached so that their next event does not compute them again.

Addresses and numbers are personal data and stay in a process's memory for a short time only: a gateway calls
`forget_recent` every FORGOTTEN_AFTER_S, and immediately when it accepts an erasure request.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, ParamSpec, Protocol, TypeVar, cast
from weakref import WeakSet

P = ParamSpec("P")
R = TypeVar("R")
FORGOTTEN_AFTER_S: Final = 60.0
PEOPLE_KNOWN: Final = 8192  # values of each kind
_TEXT_CHARS: Final = 512 * PEOPLE_KNOWN  # of what one cache is asked between two clearings: texts of senders are long


class _Forgetful(Protocol):
    def cache_clear(self) -> None:
        """Forget everything."""


_CACHES: Final[WeakSet[_Forgetful]] = WeakSet()


class RecentSet:
    """What was found to hold about people lately, the newest PEOPLE_KNOWN of it."""

    def __init__(self) -> None:
        self._values: OrderedDict[object, None] = OrderedDict()
        self.has: Final = self._values.__contains__  # takes less than half of what a method of its own does
        _CACHES.add(self)

    def add(self, value: object) -> None:
        """Remember it, in the place of the oldest where there are too many."""
        if len(self._values) >= PEOPLE_KNOWN:
            self._values.popitem(last=False)
        self._values[value] = None

    def cache_clear(self) -> None:
        """Forget everything."""
        self._values.clear()


def recent(function: Callable[P, R]) -> Callable[P, R]:
    """A pure function with a cache of its latest results. 1 and 1.0 are different arguments.

    A sender chooses the arguments. The cache is cleared when they were more than _TEXT_CHARS long together.
    """
    chars = 0

    def compute(*arguments: P.args, **named: P.kwargs) -> R:
        nonlocal chars
        chars += sum(len(each) for each in arguments if isinstance(each, str))
        if chars > _TEXT_CHARS:
            chars = 0
            remembering.cache_clear()
        return function(*arguments, **named)

    remembering = lru_cache(maxsize=PEOPLE_KNOWN, typed=True)(compute)
    _CACHES.add(cast(_Forgetful, remembering))
    return cast(Callable[P, R], remembering)


def forget_recent() -> None:
    """Clear all caches."""
    for cache in list(_CACHES):
        cache.cache_clear()
