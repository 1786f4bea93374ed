"""A lane: one destination and one Attentive endpoint."""

from dataclasses import dataclass

from app.store.keys import DestinationKeys, LaneKeys


@dataclass(frozen=True, slots=True)
class Lane:
    """One destination and one Attentive endpoint, with one rate limit and one backlog."""

    destination: str
    endpoint: str

    @property
    def keys(self) -> LaneKeys:
        """The lane's keys in Redis."""
        return LaneKeys(DestinationKeys(self.destination), self.endpoint)

    def __str__(self) -> str:
        return f"{self.destination}/{self.endpoint}"
