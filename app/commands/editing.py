"""Changing one dead letter: the call, or the event that never became one. What is no good is refused."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from app.attentive.endpoints import BY_NAME
from app.delivery.dead_letters import DeadLetter
from app.identity.extract import IdentityRules
from app.sandbox.checks import Misfit
from app.sandbox.config import SandboxConfig
from app.sandbox.endpoints import ENDPOINTS
from app.sandbox.operations import SERVED
from app.segment.events import InvalidEvent, parse_event

_BODIES = {endpoint.path: SERVED[endpoint.name].body for endpoint in ENDPOINTS if endpoint.method == "POST"}


class Rejected(Exception):  # noqa: N818 - it ends the command, with one line
    """A change that cannot be made; the text names the field and the rule."""


def content_of(letter: DeadLetter) -> Any:
    """What there is to change: the body of the call, or the original event."""
    return orjson.loads(letter.event if letter.body is None else letter.body)


def with_content(letter: DeadLetter, content: Any, rules: IdentityRules) -> DeadLetter:
    """The letter with this in its place. Raises Rejected for what Attentive or the gateway would refuse again.

    `rules` are those of its destination.
    """
    if letter.endpoint is None:
        try:
            parse_event(content, rules.names_somebody)
        except InvalidEvent as invalid:
            raise Rejected(str(invalid)) from None
        return replace(letter, event=orjson.dumps(content))
    check = _BODIES.get(BY_NAME[letter.endpoint].path) if letter.endpoint in BY_NAME else None
    if check is None:
        raise Rejected(f"{letter.endpoint} is no endpoint of this version")
    try:
        check(content, SandboxConfig())
    except Misfit as misfit:
        raise Rejected(str(misfit)) from None
    return replace(letter, body=orjson.dumps(content))


def read_json(text: str | bytes) -> Any:
    """Raises Rejected with the place of the mistake."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as mistake:
        raise Rejected(f"not JSON: {mistake.msg} in line {mistake.lineno}, column {mistake.colno}") from None


def with_changes(content: Any, settings: Sequence[str], removals: Sequence[str]) -> Any:
    """A copy with each "path=value" set and each path removed. Paths are dotted, indexes of lists among them.

    A value that is JSON is taken as that, anything else as text. Raises Rejected.
    """
    content = orjson.loads(orjson.dumps(content))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise Rejected(f"--set {path}: write path=value")
        value: Any = text
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(text)
        here, last = _parent(content, path)
        if isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    for path in removals:
        here, last = _parent(content, path)
        if last not in (here if isinstance(here, dict) else range(len(here))):
            raise Rejected(f"{path}: is not there")
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


def _parent(content: Any, path: str) -> tuple[Any, Any]:
    """The object or list that holds the last step of a path, and that step."""
    *steps, last = path.split(".")
    here = content
    for number, step in enumerate(steps):
        try:
            here = here[_key(here, step)]
        except (KeyError, IndexError, TypeError):
            raise Rejected(f"{'.'.join(steps[: number + 1])}: is not there") from None
    try:
        key = _key(here, last)
    except TypeError:
        raise Rejected(f"{path}: {'.'.join(steps) or 'the content'} holds no fields") from None
    if isinstance(here, list) and not 0 <= key <= len(here):
        raise Rejected(f"{path}: is not there")
    return here, key


def _key(here: Any, step: str) -> Any:
    if isinstance(here, dict):
        return step
    if isinstance(here, list) and step.isdecimal():
        return int(step)
    raise TypeError
