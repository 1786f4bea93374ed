"""Changing a dead letter: the call, or the event that never became one.

What Attentive or the gateway would refuse is refused here, with the field and the rule.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.attentive.bodies import contract
from app.attentive.endpoints import BY_NAME
from app.delivery.dead_letter import DeadLetter
from app.delivery.dead_letters import edit as replace_dead_letter
from app.identity.extract import IdentityRules
from app.operations.operator import NotFound, OperationError, Operator
from app.segment.events import InvalidEvent, parse_event
from app.wiring.gateway import plan_of


class Rejected(OperationError):  # noqa: N818
    """The change is not allowed. The text names the field and the rule."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The dead letter has a new id, and these paths have new values."""

    id: str
    changed: tuple[str, ...]


async def edit(operator: Operator, dead_letter: DeadLetter, content: Any) -> Edited | None:
    """Put this content in the place of what a dead letter holds; None when nothing differs.

    The journal records which paths were changed, never what they hold. Raises Rejected and NotFound.
    """
    edited = with_content(dead_letter, content, identity_rules(operator, dead_letter))
    changes = tuple(changed_paths(content_of(dead_letter), content))
    if not changes:
        return None
    record = orjson.dumps({"dead_letter": dead_letter.id, "changed": changes[:20]})
    entries = operator.settings.journal_entries
    new_id = await replace_dead_letter(operator.redis, dead_letter, edited, record=record, journal_entries=entries)
    if new_id is None:
        raise NotFound(f"There is no dead letter {dead_letter.id} any more.")
    return Edited(new_id, changes)


def identity_rules(operator: Operator, dead_letter: DeadLetter) -> IdentityRules:
    """Those of its destination."""
    return plan_of(operator.topology.destinations[dead_letter.destination]).identity


def content_of(dead_letter: DeadLetter) -> Any:
    """What there is to change: the body of the call, or the original event."""
    return orjson.loads(dead_letter.event if dead_letter.body is None else dead_letter.body)


def with_content(dead_letter: DeadLetter, content: Any, rules: IdentityRules) -> DeadLetter:
    """The dead letter with this content. Raises Rejected for what Attentive or the gateway would refuse again.

    `rules` are those of its destination.
    """
    if dead_letter.endpoint is None:
        try:
            parse_event(content, rules.names_person, rules.usable_id)
        except InvalidEvent as invalid:
            raise Rejected(str(invalid)) from None
        return replace(dead_letter, event=orjson.dumps(content))
    if dead_letter.endpoint not in BY_NAME:
        raise Rejected(f"{dead_letter.endpoint} is not an endpoint of this version")
    if violation := contract().violation(BY_NAME[dead_letter.endpoint].path, content):
        raise Rejected(str(violation))
    return replace(dead_letter, body=orjson.dumps(content))


def read_json(text: str | bytes) -> Any:
    """The parsed text. Raises Rejected with the place of the mistake."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as mistake:
        raise Rejected(f"This is not JSON: {mistake.msg} in line {mistake.lineno}, column {mistake.colno}.") from None


def with_changes(content: Any, settings: Sequence[str], removals: Sequence[str]) -> Any:
    """A copy with each "path=value" set and each path removed. Paths are dotted, indexes of lists among them.

    A value that is JSON is taken as JSON, anything else as text. Objects on the way to a new value are made. Raises
    Rejected.
    """
    content = orjson.loads(orjson.dumps(content))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise Rejected(f"{path}: Write it as path=value.")
        value: Any = text
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(text)
        here, last = _parent(content, path, make=True)
        if isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    for path in removals:
        here, last = _parent(content, path)
        if last not in (here if isinstance(here, dict) else range(len(here))):
            raise Rejected(f"{path}: does not exist")
        del here[last]
    return content


def changed_paths(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where the two differ, dotted; never what stands there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from changed_paths(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from changed_paths(old, new, f"{path}.{index}")
    elif before != after:
        yield path


def _parent(content: Any, path: str, *, make: bool = False) -> tuple[Any, Any]:
    """The object or list that holds the last step of a path, and that step. `make`: objects that do not exist yet."""
    *steps, last = path.split(".")
    here = content
    for number, step in enumerate(steps):
        try:
            key = _key(here, step)
            if make and isinstance(here, dict):
                here.setdefault(key, {})
            here = here[key]
        except (KeyError, IndexError):
            raise Rejected(f"{'.'.join(steps[: number + 1])}: does not exist") from None
        except TypeError:
            raise Rejected(f"{path}: {'.'.join(steps[:number]) or 'the content'} holds no fields") from None
    try:
        key = _key(here, last)
    except TypeError:
        raise Rejected(f"{path}: {'.'.join(steps) or 'the content'} holds no fields") from None
    if isinstance(here, list) and not 0 <= key <= len(here):
        raise Rejected(f"{path}: does not exist")
    return here, key


def _key(here: Any, step: str) -> Any:
    if isinstance(here, dict):
        return step
    if isinstance(here, list) and step.isdecimal():
        return int(step)
    raise TypeError
