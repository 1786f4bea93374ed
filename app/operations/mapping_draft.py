"""A draft of a destination's mapping: checked, compared on recorded events, and written into the YAML file."""

import asyncio
import difflib
import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from app.config.document import BadFile, Document, Mistake
from app.config.edits import NotEditable, block_at, first_line_at, with_block, with_value, without
from app.config.topology import Loaded, load_content
from app.config.values import Secrets
from app.delivery.journal.event_search import newest_calls
from app.mapping.catalogue import Key
from app.operations.comparison import Comparison
from app.operations.operator import BadRequest, OperationError, Operator
from app.operations.trial import whatever_its_age
from app.wiring.gateway import plan_of

COMPARED: Final = 500  # recorded events
_EXAMPLES: Final = 3  # of each kind of change
_AT_ONCE: Final = 20  # events that are compared before other requests have their turn
_NOT_REPLACEABLE: Final = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})
_SAMPLE_EMAIL: Final = "shopper@example.com"  # in place of the masked person of a recorded event


@dataclass(frozen=True, slots=True)
class MappingFile:
    """The YAML file, and the mapping of one destination in it."""

    path: Path
    destination: str
    content: str = field(repr=False)  # of the whole file, with its secrets
    mapping: str  # YAML; empty where there is none

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def writable(self) -> bool:
        """Whether this process may change the file."""
        return os.access(self.path, os.W_OK)

    @property
    def steps(self) -> tuple[str, str, str]:
        """The keys that lead to the mapping."""
        return ("destinations", self.destination, "mapping")


@dataclass(frozen=True, slots=True)
class Draft:
    """Another mapping for a destination, and whether it could be used."""

    file: MappingFile
    mapping: str
    content: str = field(repr=False)  # of the whole file with this mapping; as it stands where it cannot be used
    mistakes: Sequence[Mistake] = ()  # their lines are those of `mapping`
    warnings: Sequence[Mistake] = ()
    loaded: Loaded | None = field(default=None, repr=False)

    @property
    def changed(self) -> bool:
        """Whether it differs from the file."""
        return self.content != self.file.content

    @property
    def patch(self) -> str:
        """The difference for `git apply --unidiff-zero` and `patch`. It has no lines around it: these hold secrets."""
        name = self.file.path.name
        old, new = self.file.content.splitlines(keepends=True), self.content.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=0))


def read_mapping(operator: Operator, destination: str) -> MappingFile:
    """The mapping of a destination as the file has it now. Raises OperationError."""
    operator.chosen(destination)
    if (path := operator.settings.config) is None:
        raise OperationError(
            "The configuration is in variables. To change the mapping, describe sources and destinations in a YAML "
            "file, and set GATEWAY_CONFIG to its path."
        )
    try:
        content = path.read_bytes().decode()
        return MappingFile(path, destination, content, block_at(content, ("destinations", destination, "mapping")))
    except (OSError, UnicodeDecodeError) as failure:
        raise OperationError(f"{path} cannot be read ({type(failure).__name__}).") from None
    except (BadFile, NotEditable) as problem:
        raise OperationError(f"{path} cannot be changed here. {problem}") from None


def draft(file: MappingFile, mapping: str) -> Draft:
    """The file with another mapping, and every mistake in it."""
    mapping = mapping.replace("\r\n", "\n")
    try:
        content = with_block(file.content, file.steps, mapping)
    except BadFile as bad:
        return Draft(file, mapping, file.content, bad.mistakes)
    except NotEditable as problem:
        return Draft(file, mapping, file.content, [Mistake(1, "", str(problem))])
    before = first_line_at(content, file.steps) - 1
    try:
        loaded = load_content(file.path, content.encode(), Secrets(needed=False))
    except BadFile as bad:
        return Draft(file, mapping, file.content, [_moved(each, file, before) for each in bad.mistakes])
    above = f"{'.'.join(file.steps)}."
    warnings = [_moved(each, file, before) for each in loaded.warnings if each.where.startswith(above)]
    return Draft(file, mapping, content, (), warnings, loaded)


def _moved(mistake: Mistake, file: MappingFile, before: int) -> Mistake:
    above = ".".join(file.steps)
    if not mistake.where.startswith(above):
        return replace(mistake, line=1, where=f"line {mistake.line} of the file, {mistake.where}".rstrip(", "))
    return Mistake(max(1, mistake.line - before), mistake.where.removeprefix(above).lstrip("."), mistake.expected)


def row_of(mapping: str, event: str) -> tuple[str, Mapping[str, Any]]:
    """The changes to one event, and its name as the mapping spells it. Raises BadRequest for what is not YAML."""
    try:
        content = Document(Path("mapping"), mapping.encode()).content
    except BadFile as bad:
        raise BadRequest(f"The mapping is not YAML: {bad.mistakes[0]}.") from None
    rows = content.get("events") if isinstance(content, dict) else None
    for name, row in rows.items() if isinstance(rows, dict) else ():
        if Key.of_track(str(name)) == Key.of_track(event):
            return str(name), row if isinstance(row, dict) else {}
    return event, {}


def with_row(mapping: str, event: str, row: Mapping[str, Any]) -> str:
    """The mapping with other changes to one event, or without any. Raises BadRequest."""
    steps = ("events", row_of(mapping, event)[0])
    try:
        return with_value(mapping, steps, dict(row)) if row else without(mapping, steps)
    except (BadFile, NotEditable) as problem:
        raise BadRequest(str(problem)) from None


async def recorded_events(operator: Operator, destination: str, event: str = "") -> list[dict[str, Any]]:
    """The last events whose calls were recorded, the newest first, of one name or of any; masked, each once."""
    wanted = Key.of_track(event) if event else None
    events: dict[str, dict[str, Any]] = {}
    for call in await newest_calls(operator.redis, destination, COMPARED * 2):
        original = call.original
        if not isinstance(original, dict) or call.message_id in events or len(events) == COMPARED:
            continue
        if wanted is None or Key.of_track(str(original.get("event", ""))) == wanted:
            events[call.message_id] = original
    return list(events.values())


async def compare(drafted: Draft, events: Sequence[Any]) -> Comparison:
    """What the draft would change, tried on events. All are about one person: those of recorded events are masked."""
    comparison = Comparison()
    if drafted.loaded is None:
        return comparison
    name = drafted.file.destination
    before = load_content(drafted.file.path, drafted.file.content.encode(), Secrets(needed=False))
    old, new = (whatever_its_age(plan_of(each.topology.destinations[name])) for each in (before, drafted.loaded))
    now = datetime.now(UTC)
    for number, event in enumerate(events, 1):
        comparison.lines = number
        comparison.add(_about_sample_person(event), {name: (old, new)}, now=now, examples=_EXAMPLES)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return comparison


def _about_sample_person(event: Any) -> Any:
    if not isinstance(event, dict):
        return event
    if event.get("type") == "identify":
        return {**event, "traits": {**part_of(event, "traits"), "email": _SAMPLE_EMAIL}}
    context = part_of(event, "context")
    return {**event, "context": {**context, "traits": {**part_of(context, "traits"), "email": _SAMPLE_EMAIL}}}


def part_of(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object at a name; empty where there is none."""
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def put_into_use(drafted: Draft, base: str) -> None:
    """Write the file. `base` is the SHA-256 of the file that the draft was made from. Raises OperationError."""
    if drafted.mistakes:
        raise BadRequest(f"The mapping has a mistake in line {drafted.mistakes[0].line}: {drafted.mistakes[0]}.")
    if base != drafted.file.sha256:
        raise OperationError("The file has changed since this draft was checked. Check it again.")
    if not drafted.file.writable:
        raise OperationError(
            "This process may not write the file. Download the difference, and apply it where you keep it."
        )
    try:
        _write(drafted.file.path.resolve(), drafted.content.encode())
    except OSError as failure:
        raise OperationError(f"The file could not be written: {failure.strerror}.") from None


def _write(path: Path, content: bytes) -> None:
    """All or nothing. A file that cannot be replaced, because it is mounted by itself, is written in place."""
    try:
        _replace(path, content)
    except OSError as failure:
        if failure.errno not in _NOT_REPLACEABLE:  # on a full disk, the file would be lost
            raise
        path.write_bytes(content)


def _replace(path: Path, content: bytes) -> None:
    status = path.stat()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            os.fchmod(new.fileno(), status.st_mode & 0o7777)
            with suppress(PermissionError):
                os.fchown(new.fileno(), status.st_uid, status.st_gid)
            Path(new.name).replace(path)
        except OSError:
            Path(new.name).unlink(missing_ok=True)
            raise
