"""A worker's stop, when it comes while arq waits for Redis."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.settings import Settings
from tests.workers.test_drain import Attentive, context
from workers import worker
from workers.worker import run_worker


async def test_a_stop_waits_for_the_drains_beside_arq(monkeypatch: pytest.MonkeyPatch) -> None:
    running = context(cast(Any, None), Attentive())
    steps: list[str] = []

    async def send() -> None:
        with running.draining():
            await running.accounts.superseded.wait()
            await asyncio.sleep(0.01)  # its last call is under way
            steps.append("settled")

    async def interrupted(_process: object) -> None:
        running.beside_arq.add(asyncio.create_task(send()))
        await asyncio.sleep(0)
        running.stopping.set()

    async def step(ctx: dict[str, Any]) -> None:
        steps.append("stopped" if running.stopping.is_set() else "started")

    monkeypatch.setattr(worker, "WorkerProcess", lambda _settings: SimpleNamespace(context=running))
    monkeypatch.setattr(worker, "_work", interrupted)
    monkeypatch.setattr(worker, "on_startup", step)
    monkeypatch.setattr(worker, "on_shutdown", step)
    await run_worker(cast(Settings, None))
    assert steps == ["started", "settled", "stopped"]
