"""The generated parts of docs/mapping.md: the catalogue, and the output of `mapping try`."""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from app.commands.trial_report import print_trial
from app.config.topology import load_file
from app.mapping.catalogue import Catalogue
from app.mapping.describe import Line, declared_types, lines, products
from app.mapping.names import ALIASES
from app.operations.trial import tried, whatever_its_age
from app.wiring.gateway import plan_of

_EXAMPLES: Final = Path(__file__).parents[2] / "examples"
_PART: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(file: Annotated[Path, typer.Argument(help="docs/mapping.md")]) -> None:
    """Write the generated parts of a page again."""
    file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """The page with its generated parts as they would be now."""
    return _PART.sub(lambda found: f"{found[1]}{_PARTS[found[2]]()}{found[3]}", text)


def _catalogue() -> str:
    rows = [f"| {_event(line)} | {line.endpoint} | {line.priority} | {_filled(line)} |" for line in lines(Catalogue())]
    (items,) = products(Catalogue())
    fields = [f"| `{key}` | {value} |" for key, value in items.fields.items()]
    also: dict[str, list[str]] = {}
    for alias, name in ALIASES.items():
        also.setdefault(name, []).append(alias)
    spellings = [f"| {name} | {', '.join(others)} |" for name, others in sorted(also.items())]
    return "\n".join(
        [
            "",
            "| Event | Goes to | Priority | What fills it |",
            "|---|---|---|---|",
            *rows,
            "",
            "Custom events also have a `type`, the event's name, and an `externalEventId`, the message ID. Products:",
            "",
            "| Field | The first of these that can be used |",
            "|---|---|",
            *fields,
            "",
            "Properties that a row names have a declared type. A value of another type is converted if nothing is",
            "lost, and left out otherwise. The journal notes both:",
            "",
            "| Sent as | Properties |",
            "|---|---|",
            *(f"| {wanted} | {', '.join(names)} |" for wanted, names in declared_types().items()),
            "",
            "Event names match regardless of case, with blanks, `_`, `-` or nothing between the words, such as",
            "`Order Completed`, `order_completed` and `orderCompleted`. These are further names of the events:",
            "",
            "| Event | Also known as |",
            "|---|---|",
            *spellings,
            "",
            "",
        ]
    )


def _event(line: Line) -> str:
    return line.event if line.event[0].isupper() else f"*{line.event}*"


def _filled(line: Line) -> str:
    shown = {key: value for key, value in line.fields.items() if key not in ("type", "externalEventId")}
    return "; ".join(f"`{key}` ← {value}" if key else value for key, value in shown.items())


def _try() -> str:
    account = load_file(_EXAMPLES / "mapping.yaml", secrets_needed=False).topology.destinations["outdoor"]
    trial = tried(orjson.loads((_EXAMPLES / "quiz.json").read_bytes()), whatever_its_age(plan_of(account)))
    console = Console(width=110, file=StringIO(), record=True)
    print_trial(console, trial, "outdoor", account)
    return "\n" + "".join(f"    {line}".rstrip() + "\n" for line in console.export_text().splitlines()) + "\n"


_PARTS: Final[Mapping[str, Callable[[], str]]] = {"catalogue": _catalogue, "try": _try}
