"""What every operation works with, and how one is refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from arq.connections import ArqRedis

from app.config.topology import Topology
from app.settings import Settings


class OperationError(Exception):
    """The operation was not done. The text gives the reason, and contains no personal data."""


class NotFound(OperationError):  # noqa: N818
    """There is nothing of this name or id."""


class BadRequest(OperationError):  # noqa: N818
    """The request itself is wrong: an unknown destination, or nothing selected."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operation works with."""

    settings: Settings
    topology: Topology
    redis: ArqRedis

    @property
    def destinations(self) -> list[str]:
        """The names of all destinations."""
        return list(self.topology.destinations)

    def chosen(self, destination: str | None) -> Sequence[str]:
        """This destination alone, or all of them. Raises BadRequest for one that does not exist."""
        if destination is None:
            return self.destinations
        if destination not in self.topology.destinations:
            known = ", ".join(self.destinations)
            raise BadRequest(f"There is no destination {destination!r}. The destinations are: {known}.")
        return [destination]
