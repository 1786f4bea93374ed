"""Sample events, posted as a tracker would, and a table of what became of each."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from rich.progress import track
from rich.table import Column, Table

from app.commands.common import out, table_with, whole, with_redis
from app.delivery.journal.event_search import entries_about
from app.delivery.journal.journal import JournalEntry
from app.operations.operator import Operator

_SAMPLES: Final = "shop.ndjson"
_HERE: Final = Path(__file__).parent
_PLACES: Final = (_HERE / _SAMPLES, _HERE.parent.parent / "examples" / _SAMPLES)  # in a wheel, in the source tree
SAMPLES: Final = next((place for place in _PLACES if place.exists()), _PLACES[0])
_DELIVERED_WITHIN_S: Final = 30.0


@dataclass(slots=True)
class _Story:
    """One posted sample, and its entries in the journal."""

    title: str
    status: int
    steps: list[JournalEntry] = field(default_factory=list)

    @property
    def received(self) -> Mapping[str, Any]:
        return next((step.facts for step in self.steps if step.step == "received"), {})

    @property
    def ended(self) -> bool:
        calls = self.received.get("calls")
        if calls is None:
            return bool(self.received) or self.status != 200
        ends = [step for step in self.steps if step.facts.get("outcome") in ("delivered", "dead letter")]
        return len(ends) + sum(step.step == "unchanged" for step in self.steps) >= len(calls)


def show_samples(samples: Path, gateway: str, write_key: str) -> None:
    """Post each event of an NDJSON file, wait until it has ended, and print how.

    The events get a fresh message id and timestamp, as a tracker would give them.
    """
    events = [orjson.loads(line) for line in samples.read_bytes().splitlines() if line.strip()]
    stories: dict[str, _Story] = {}
    with httpx.Client(base_url=gateway, auth=(write_key, ""), timeout=10, trust_env=False) as http:
        for event in track(events, "Posting sample events", console=out, transient=True):
            event["messageId"] = f"sample-{uuid.uuid4()}"
            event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            answer = http.post(f"/v1/{event['type']}", content=orjson.dumps(event))
            stories[event["messageId"]] = _Story(event.get("event") or event["type"], answer.status_code)
    with out.status("Waiting for Attentive's answers"):
        ends = time.monotonic() + _DELIVERED_WITHIN_S
        while time.monotonic() < ends and not all(story.ended for story in stories.values()):
            time.sleep(0.1)
            _read_steps(stories)
    out.print(_table(list(stories.values())))


def _read_steps(stories: dict[str, _Story]) -> None:
    async def work(operator: Operator) -> list[JournalEntry]:
        return await entries_about(operator.redis, operator.destinations, set(stories))

    for story in stories.values():
        story.steps.clear()
    for step in with_redis(work):
        stories[step.message_id].steps.append(step)


def _table(stories: list[_Story]) -> Table:
    decided = Column("Decision", overflow="fold", min_width=12)  # folds between its words on a terminal of 80 columns
    table = table_with(whole("Event"), decided, *map(whole, ("Endpoint", "Answer")), title="Sample events")
    table.collapse_padding = True
    for story in stories:
        facts = story.received
        decision = {"forward": "forward", "drop": "drop", "dead letter": "dead letter"}.get(
            str(facts.get("decision")), f"refused with {story.status}"
        )
        if reason := facts.get("reason"):
            decision += f": {reason}"
        if not (calls := facts.get("calls")):
            table.add_row(story.title, decision, "-", "-", style="yellow")
        for number, endpoint in enumerate(calls or ()):
            answer, good = _answer_of(story, endpoint)
            title, verdict = (story.title, decision) if number == 0 else ("", "")
            table.add_row(title, verdict, endpoint, answer, style=None if good else "red")
    return table


def _answer_of(story: _Story, endpoint: str) -> tuple[str, bool]:
    about = [step for step in story.steps if step.facts.get("endpoint") == endpoint]
    if any(step.step == "unchanged" for step in about):
        return "skipped: unchanged", True
    attempts = [step.facts for step in about]
    if not attempts:
        return "waiting", False
    last = attempts[-1]
    status = last.get("status") or last.get("unreachable")
    return f"{status} {last['outcome']} {last['took_ms']:.0f} ms", last["outcome"] == "delivered"
