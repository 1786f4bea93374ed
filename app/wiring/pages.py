"""From the configuration to what the health pages of a process report."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from app.config.topology import Topology
from app.health import Observed
from app.settings import Settings
from app.store.connection import Redis
from app.wiring.shared import all_memories, all_objectives, all_paces, retention_of


def observed(
    settings: Settings, redis: Redis, registry: CollectorRegistry, running: Callable[[], Topology]
) -> Observed:
    """What the health pages of a process report. `running` returns the topology that is in use now."""
    return Observed(
        redis,
        lambda: all_paces(running()),
        registry,
        settings.worker_calls_per_second,
        retention_of(settings),
        lambda: all_memories(running()),
        lambda: all_objectives(running()),
    )
