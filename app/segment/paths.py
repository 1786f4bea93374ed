"""Where a value is in an event, as people write it: `traits.email`, `properties.customer.email`, `userId`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.segment.events import SegmentEvent

Reader = Callable[[SegmentEvent], Any]
Steps = tuple[str, ...]
_WHOLE: Final[Mapping[str, Reader]] = {"userId": lambda event: event.user_id}
_OBJECTS: Final[Mapping[str, Reader]] = {
    "traits": lambda event: event.traits,
    "properties": lambda event: event.properties,
    "context": lambda event: event.raw.get("context"),
}


@dataclass(frozen=True, slots=True)
class EventPath:
    """One place in an event. `traits` are the call's own over those of its context."""

    text: str
    read: Reader = field(init=False, repr=False, compare=False)  # the value, or None when there is none

    def __str__(self) -> str:
        return self.text

    @property
    def trait(self) -> str | None:
        """The trait that it names, where it names one and nothing within it."""
        root, *steps = self.text.split(".")
        return steps[0] if root == "traits" and len(steps) == 1 else None

    def __post_init__(self) -> None:
        """Raises ValueError for a text that names no place in an event."""
        root, *steps = self.text.split(".")
        known = _OBJECTS if steps else _WHOLE
        if root not in known or not all(step.strip() for step in steps):
            raise ValueError("must be a path into an event: userId, or dotted like traits.email")
        object.__setattr__(self, "read", _reader(root, steps))


def _reader(root: str, steps: list[str]) -> Reader:
    match root, steps:
        case "traits", [name]:  # by far the most common, and read for every event
            return lambda event: event.traits.get(name)
        case _, []:
            return _WHOLE[root]
        case _:
            return lambda event: descend(_OBJECTS[root](event), tuple(steps))


def steps_of(path: str) -> Steps:
    """The names of a dotted path. Raises ValueError."""
    steps = tuple(path.split("."))
    if not all(name and name == name.strip() for name in steps):
        raise ValueError("must be names with dots between them, such as properties.result.score")
    return steps


def descend(here: Any, steps: Steps) -> Any:
    """What lies at the end of these steps, or None; of a list on the way, what was found in any element."""
    for number, name in enumerate(steps):
        if isinstance(here, list):
            found = (descend(element, steps[number:]) for element in here)
            return [value for value in found if value is not None] or None
        if not isinstance(here, dict):
            return None
        here = here.get(name)
    return here
