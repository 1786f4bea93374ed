"""Places in an event, in dotted notation: `traits.email`, `properties.customer.email`, `userId`."""

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
    "externalId": lambda event: _external_ids(event),
}


@dataclass(frozen=True, slots=True)
class EventPath:
    """One place in an event. `traits` are the call's own, merged over those of its context."""

    text: str
    read: Reader = field(init=False, repr=False, compare=False)  # the value, or None if there is none

    def __str__(self) -> str:
        return self.text

    @property
    def trait(self) -> str | None:
        """The name of the trait, if the path is exactly one trait. Else None."""
        root, *steps = self.text.split(".")
        return steps[0] if root == "traits" and len(steps) == 1 else None

    @property
    def is_external_id(self) -> bool:
        """Whether it is in RudderStack's list of external IDs."""
        return self.text.startswith("externalId.")

    def __post_init__(self) -> None:
        """Raises ValueError for a text that is not a path into an event."""
        root, *steps = self.text.split(".")
        known = _OBJECTS if steps else _WHOLE
        if root not in known or not all(step.strip() for step in steps):
            raise ValueError("must be a path into an event: userId, or dotted like traits.email")
        object.__setattr__(self, "read", _reader(root, steps))


def _external_ids(event: SegmentEvent) -> dict[str, Any]:
    """RudderStack's `context.externalId`, a list of `{type, id}`, by type. The first of each type counts."""
    context = event.raw.get("context")
    listed = context.get("externalId") if isinstance(context, dict) else None
    found: dict[str, Any] = {}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(kind := each.get("type"), str):
            found.setdefault(kind, each.get("id"))
    return found


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
    """The value at the end of these steps, or None. For a list on the way, the values found in its elements."""
    for number, name in enumerate(steps):
        if isinstance(here, list):
            found = (descend(element, steps[number:]) for element in here)
            return [value for value in found if value is not None] or None
        if not isinstance(here, dict):
            return None
        here = here.get(name)
    return here
