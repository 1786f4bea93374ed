"""A worker that is started by arq's own command, as those do who have arq workers already."""

import sys
from pathlib import Path
from typing import Final

from app.children import start_child, stop_child
from app.embedded import RedisBinary
from tests.stack import Stack, message_id, stack, wait_until

ARQ: Final = [str(Path(sys.executable).parent / "arq"), "workers.worker.WorkerSettings"]


def test_it_delivers_logs_no_line_for_each_look_and_stops_on_sigterm(redis_binary: RedisBinary, tmp_path: Path) -> None:
    with stack(tmp_path, redis_binary) as running:
        running.stop("worker")
        log = tmp_path / "arq.log"
        worker = start_child(ARQ, log=log, environment=running.environment)
        status = None
        try:
            deliver_one(running)
            deliver_one(running)  # the first look of its cron jobs is over
        finally:
            status = stop_child(worker)
        said = log.read_text()
        assert (status, "Traceback" in said) == (0, False), said
        assert '"event": "destination.token_works"' in said
        assert [line for line in said.splitlines() if "sweep()" in line or "drain(" in line] == []


def deliver_one(running: Stack) -> None:
    """Post an event and wait until Attentive has it."""
    message = message_id()
    assert running.post("/v1/track", {"event": "Signed Up", "userId": "u-1", "messageId": message}).status_code == 200
    wait_until(lambda: bool(running.ledger(message_id=message)), "it arrives")
    wait_until(lambda: running.waiting() == 0, "it is settled")
