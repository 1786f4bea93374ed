"""The arithmetic of docs/operations.md: what follows from a measured figure, a limit or a default still does."""

import re
from pathlib import Path
from typing import Final

import pytest

from app.attentive.endpoints import CUSTOM_EVENT, ENDPOINTS, IDENTITY, PURCHASE
from app.delivery.pace import SHARE
from app.delivery.workload import WINDOW_S
from app.settings import Settings
from app.store.keys import SEEN_BUCKET_S, SEEN_BUCKETS

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
CHART: Final = (ROOT / "helm/attentive-gateway/README.md").read_text(encoding="utf-8")
UNITS: Final = {"MB": 1e6, "GB": 1e9}
DAY_S: Final = 86_400
HEADROOM: Final = 1.3


def default(setting: str) -> float:
    return float(Settings.model_fields[setting].default)


def measured(thing: str) -> list[int]:
    """The bytes of something that is kept, by the first words of its row."""
    (sizes,) = re.findall(rf"^\| {thing}[^|]* \| ([\d,]+(?: \+ [\d,]+)*) \| [^|]+ \|$", PAGE, re.MULTILINE)
    return [number(size) for size in sizes.split(" + ")]


def number(text: str) -> int:
    return int(text.replace(",", ""))


def shown(row: str) -> list[str]:
    """The three cells of a row of the table of examples."""
    (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.+) \|$", PAGE, re.MULTILINE)
    return [cell.strip("* ") for cell in cells.split(" | ")]


def is_rounded(text: str, exact: float) -> bool:
    """Whether "7.8 GB" is what an exact number of bytes is, to the digits that it has."""
    figure, unit = text.split()
    digits = len(figure.partition(".")[2])
    return abs(float(figure) - exact / UNITS[unit]) <= 0.5 / 10.0**digits + 1e-9


(CALL,) = measured("a call that waits")
(MESSAGE_ID,) = measured("a message ID")
(JOURNAL,) = measured("a journal entry")
(SAID,) = measured("the digest of what was last sent about a person")
PROFILE, CONTACT = measured("a profile")
REMEMBERED_S: Final = SEEN_BUCKETS * SEEN_BUCKET_S
EACH_PERSON: Final = 2 * SAID + PROFILE + 2 * CONTACT  # two endpoints, two contacts

EVENTS_PER_S: Final = (1, 100, 1000)
EXAMPLES: Final = {
    "message IDs": [rate * REMEMBERED_S * MESSAGE_ID for rate in EVENTS_PER_S],
    "one call each, Attentive away for 1 h": [rate * 3600 * CALL for rate in EVENTS_PER_S],
    "journal, one destination; ten at 1,000/s": [n * default("journal_entries") * JOURNAL for n in (1, 1, 10)],
    "10,000 people; a million; ten million": [people * EACH_PERSON for people in (10**4, 10**6, 10**7)],
}
TOGETHER: Final = [sum(each) for each in zip(*EXAMPLES.values(), strict=True)]


def test_the_formula_has_the_measured_bytes() -> None:
    for term in (
        f"r x {REMEMBERED_S:,} x {MESSAGE_ID} ",
        f"r x c x h x 3,600 x {CALL:,} ",
        f"destinations x {default('journal_entries'):,.0f} x {JOURNAL} ",
        f"p x (2 x {SAID} + {PROFILE} + 2 x {CONTACT}) ",
    ):
        assert term in PAGE.replace("\N{MULTIPLICATION SIGN}", "x")


@pytest.mark.parametrize(
    ("row", "exact"),
    [
        *EXAMPLES.items(),
        ("**together**", TOGETHER),
        ("**`maxmemory`**", [HEADROOM * each for each in TOGETHER]),
    ],
)
def test_the_examples_follow_from_the_formula(row: str, exact: list[float]) -> None:
    assert [text for text, size in zip(shown(row), exact, strict=True) if not is_rounded(text, size)] == [], exact


def test_what_one_redis_and_one_account_carry_follows_from_what_was_measured_and_from_the_limits() -> None:
    text = " ".join(PAGE.split())
    costs = re.search(r"costs Redis (\d+) µs .*?: (\d+) µs to store it, and (\d+) µs to hand it out", text)
    assert costs is not None
    whole, taken_in, handed_out = map(int, costs.groups())
    assert whole == taken_in + handed_out
    most = 1_000_000 // whole // 1000 * 1000
    lane = PURCHASE.calls_per_second * SHARE
    account = 4 * lane  # product views, carts, purchases, custom events
    for sentence in (
        f"which allows {most:,} events a second. Plan for half of that, {most // 2:,}.",
        f"Each endpoint accepts {CUSTOM_EVENT.calls_per_second:g} calls a second. "
        f"The gateway uses {SHARE * 100:g} % of that: {lane:g} calls a second, "
        f"or {lane * DAY_S / 1e6:.1f} million a day.",
        f"{account:g} calls a second in equal parts, or {account * DAY_S / 1e6:.0f} million a day.",
        f"the total is {2 * lane:g}.",
        f"limited to {IDENTITY.calls_per_second:g} a second, "
        f"which is {IDENTITY.calls_per_second * SHARE * 3.6:.0f},000 new people an hour",
        f"serves {most // 2 // account:.0f} accounts that are all at their limit ({most // 2:,} / {account:g})",
        f"until {default('worker_calls_per_second') // PURCHASE.calls_per_second:.0f} lanes are at their limit at once",
    ):
        assert sentence in text


def test_the_charts_example_of_scaling_follows_from_the_limits() -> None:
    text = " ".join(CHART.split())
    seconds = sum(each.calls_per_second for each in ENDPOINTS) * SHARE * WINDOW_S / default("worker_calls_per_second")
    assert f"One account at all its documented limits is {seconds:.0f} s of work" in text
    target = re.search(r"`worker\.autoscaling\.keda\.targetSeconds` \((\d+) of 10 s\)", text)
    assert target is not None
    pods = -(-40 * seconds // int(target[1]))
    assert f"40 accounts at all their limits are {40 * seconds:.0f} s, {pods:.0f} pods." in text


def test_the_same_figure_is_told_of_one_process_everywhere() -> None:
    table = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    measured = re.findall(r"^\| \(d\) this gateway \| ([\d,]+) \|", table, re.MULTILINE)[0]
    told = {(ROOT / "README.md").read_text(encoding="utf-8"): "accepts", PAGE: "answered"}
    for page, verb in told.items():
        assert re.findall(rf"One process {verb} ([\d,]+) single events", page) == [measured]
