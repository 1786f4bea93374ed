"""The figures that sizing is computed from are those that the pages show."""

import re
from pathlib import Path
from typing import Final

import pytest

from app.simulation import figures

ROOT: Final = Path(__file__).parents[2]
OPERATIONS: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
BENCHMARKS: Final = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")


def bytes_of(thing: str) -> list[int]:
    """The bytes of something that is kept, by the first words of its row."""
    (sizes,) = re.findall(rf"^\| {thing}[^|]* \| ([\d,]+(?: \+ [\d,]+)*) \| [^|]+ \|$", OPERATIONS, re.MULTILINE)
    return [int(size.replace(",", "")) for size in sizes.split(" + ")]


@pytest.mark.parametrize(
    ("shown", "used"),
    [
        pytest.param(bytes_of("a call that waits"), [figures.WAITING_CALL_BYTES], id="a call that waits"),
        pytest.param(bytes_of("a message ID"), [figures.MESSAGE_ID_BYTES], id="a message ID"),
        pytest.param(
            [sum(bytes_of("a journal entry") + bytes_of("its rows in the index of the journal"))],
            [figures.JOURNAL_ENTRY_BYTES],
            id="a journal entry with its rows in the index",
        ),
        pytest.param(bytes_of("the digest of what was last sent"), [figures.LAST_SENT_BYTES], id="what was last sent"),
        pytest.param(bytes_of("a profile"), [figures.PROFILE_BYTES, figures.CONTACT_BYTES], id="a profile"),
        pytest.param(bytes_of("a dead letter"), [figures.DEAD_LETTER_BYTES], id="a dead letter"),
    ],
)
def test_what_is_stored_takes_what_the_page_shows(shown: list[int], used: list[int]) -> None:
    assert used == shown


def test_what_one_gateway_answers_is_the_measured_figure() -> None:
    (measured,) = set(re.findall(r"^\| \(d\) this gateway \| ([\d,]+) \|", BENCHMARKS, re.MULTILINE))
    assert int(measured.replace(",", "")) == figures.GATEWAY_EVENTS_PER_S


def test_the_processor_time_of_redis_is_the_measured_figure() -> None:
    taken_in, handed_out = (
        int(re.findall(rf"^\| {what} \| (\d+) \|", BENCHMARKS, re.MULTILINE)[0])
        for what in ("to take it in", "to hand it out and settle it")
    )
    assert (taken_in, handed_out) == (figures.REDIS_INTAKE_US, figures.REDIS_DELIVERY_US)
