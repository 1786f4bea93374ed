"""The traffic of a run: page views in one burst, and orders that trickle in meanwhile."""

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from benchmarks.failure import BenchmarkFailed
from benchmarks.timeline import Kind

BATCH: Final = 100
_AGAIN_S: Final = 0.2
_AGAIN_WITHIN_S: Final = 10.0
_NAMES: Final = {Kind.ORDER: "Order Updated", Kind.VIEW: "Promotion Viewed"}  # of high and of low priority


class Shop:
    """A tracker that remembers when each event was handed in, in Unix seconds."""

    def __init__(self, url: str, write_key: str) -> None:
        """`url` is the gateway's."""
        self.handed_in: dict[str, tuple[Kind, float]] = {}
        self._http = httpx.Client(base_url=url, auth=(write_key, ""), timeout=30, trust_env=False)
        self._lock = threading.Lock()

    def burst(self, events: int) -> None:
        """Page views, as fast as the gateway takes them."""
        for start in range(0, events, BATCH):
            self._post(Kind.VIEW, min(BATCH, events - start))

    def trickle(self, every_s: float, *, until: Callable[[], bool]) -> None:
        """One order after the other, `until` there is nothing left to watch."""
        due = time.monotonic()
        while not until():
            self._post(Kind.ORDER, 1)
            due += every_s
            time.sleep(max(0.0, due - time.monotonic()))

    def send(self, kind: Kind, number: int) -> None:
        """So many events in one batch; none, if there are none."""
        if number:
            self._post(kind, number)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _post(self, kind: Kind, number: int) -> None:
        batch = [_event(kind) for _ in range(number)]
        now = time.time()
        answer = self._http.post("/v1/batch", json={"batch": batch})
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.time() < now + _AGAIN_WITHIN_S:
            time.sleep(_AGAIN_S)  # as trackers do: on a busy machine Redis may not answer for a moment
            answer = self._http.post("/v1/batch", json={"batch": batch})
        if answer.status_code != httpx.codes.OK or answer.json().get("refused"):
            raise BenchmarkFailed(f"the gateway answered {answer.status_code}: {answer.text[:200]}")
        with self._lock:
            self.handed_in |= {event["messageId"]: (kind, now) for event in batch}


def _event(kind: Kind) -> dict[str, Any]:
    person = uuid.uuid4().hex[:12]
    return {
        "type": "track",
        "event": _NAMES[kind],
        "messageId": f"burst-{uuid.uuid4()}",
        "timestamp": datetime.now(UTC).isoformat(),
        "userId": f"customer-{person}",
        "context": {"traits": {"email": f"{person}@example.com"}},
        "properties": {"order_id": person, "total": 49.9, "currency": "USD"},
    }
