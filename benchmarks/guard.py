"""How often the privacy guard is wrong: what it withholds of values that it must keep, and what it misses.

Each value stands in a property of an event. Run it from the repository's root:
`python -m benchmarks.guard`; `--write docs/privacy.md` writes the tables into that page.
"""

import argparse
import random
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from app.privacy.guard import Guard
from benchmarks.guard_kinds import HARMLESS, SECRET_NUMBERS, Kind, Make, Notation
from benchmarks.tables import markdown, table

KEPT: Final = 100_000
SOUGHT: Final = 10_000
LEAST_FOUND: Final = 0.999
SEED: Final = 20_260_301
FALSE_ALARMS: Final = ("value", "field", "withheld")
FOUND: Final = ("written", *(check.value for check, _, _ in SECRET_NUMBERS))
_FIELD: Final = "note"
_TOGETHER: Final = 20  # values in a list
_PARTS: Final = re.compile(r"(<!-- generated: (guard_\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Score:
    """How many of so many values had something withheld of them."""

    name: str
    withheld: int
    of: int
    example: Any = None  # the first value that was judged wrongly

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.withheld / self.of


def false_alarms(kind: Kind, count: int, guard: Guard) -> Score:
    """How many of these values, which must be kept, are withheld."""
    random_ = _seeded(kind.name)
    withheld, example = 0, None
    for done in range(0, count, _TOGETHER):
        values = [kind.make(random_) for _ in range(min(_TOGETHER, count - done))]
        if _withholds(guard, kind.field, values):  # rarely: only then is each asked for alone
            alone = [value for value in values if _withholds(guard, kind.field, value)]
            withheld += max(len(alone), 1)
            example = example or (alone or values)[0]
    return Score(kind.name, withheld, count, example)


def found(notation: Notation, make: Make, count: int, guard: Guard) -> Score:
    """How many of these numbers, which must not be kept, are found when they are written so."""
    random_ = _seeded(notation.name)
    values = [notation.write(make(random_)) for _ in range(count)]
    missed = [value for value in values if not _withholds(guard, _FIELD, value)]
    return Score(notation.name, count - len(missed), count, missed[0] if missed else None)


def _seeded(name: str) -> random.Random:
    return random.Random(f"{SEED} {name}")


def _withholds(guard: Guard, field: str, value: Any) -> bool:
    event = {"type": "track", "properties": {field: value}}
    return bool(guard.inspect(event, orjson.dumps(event)).findings)


def _alarms(place: int, count: int) -> Score:
    return false_alarms(HARMLESS[place], count, Guard())


def _hits(check: int, place: int, count: int) -> Score:
    _, make, notations = SECRET_NUMBERS[check]
    return found(notations[place], make, count, Guard())


def measured(kept: int, sought: int) -> tuple[list[Score], list[list[Score]]]:
    """The scores of all kinds, and those of all notations by check. Every processor takes a part of the work."""
    with ProcessPoolExecutor() as pool:
        alarms = [pool.submit(_alarms, place, kept) for place in range(len(HARMLESS))]
        hits = [
            [pool.submit(_hits, check, place, sought) for place in range(len(notations))]
            for check, (_, _, notations) in enumerate(SECRET_NUMBERS)
        ]
        return [alarm.result() for alarm in alarms], [[hit.result() for hit in each] for each in hits]


def _alarm_rows(alarms: Sequence[Score]) -> list[tuple[str, ...]]:
    scores = zip(alarms, HARMLESS, strict=True)
    return [(score.name, f"`{kind.field}`", f"{score.withheld:,}") for score, kind in scores]


def _found_rows(hits: Sequence[Sequence[Score]]) -> list[tuple[str, ...]]:
    by_check = [{score.name: f"{score.share:.2%}" for score in scores} for scores in hits]
    names = dict.fromkeys(name for scores in by_check for name in scores)
    return [(name, *(scores.get(name, "") for scores in by_check)) for name in names]


def written_into(page: str, kept: int, sought: int, alarms: Sequence[Score], hits: Sequence[Sequence[Score]]) -> str:
    """The page with these figures in its generated parts."""
    tables = {
        "guard_kept": f"Withheld of {kept:,} values of each kind:\n\n"
        + markdown(FALSE_ALARMS, _alarm_rows(alarms), words=2),
        "guard_found": f"Found of {sought:,} numbers in each notation:\n\n{markdown(FOUND, _found_rows(hits))}",
    }
    return _PARTS.sub(lambda part: f"{part[1]}\n{tables[part[2]]}\n\n{part[3]}", page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--kept", type=int, default=KEPT, help=f"values of each kind that must be kept ({KEPT:,})")
    parser.add_argument("--sought", type=int, default=SOUGHT, help=f"numbers in each notation ({SOUGHT:,})")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables into this page")
    options = parser.parse_args(arguments)
    if options.kept < 1 or options.sought < 1:
        parser.error("--kept, --sought: at least 1")
    alarms, hits = measured(options.kept, options.sought)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(written_into(page, options.kept, options.sought, alarms, hits), encoding="utf-8")
    out = Console(highlight=False)
    out.print(
        table(f"withheld of {options.kept:,} values that must be kept", FALSE_ALARMS, _alarm_rows(alarms), words=2)
    )
    out.print(table(f"found of {options.sought:,} numbers", FOUND, _found_rows(hits)))
    missed = [score for score in alarms if score.withheld]
    missed += [score for scores in hits for score in scores if score.share < LEAST_FOUND]
    for score in missed:
        seen = f"{score.withheld:,} of {score.of:,} withheld, such as {score.example!r}"
        out.print(f" {score.name}: {seen}", soft_wrap=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
