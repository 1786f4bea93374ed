"""The reload of a process, built from its settings. Only gateways and workers need it, commands do not."""

from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from app import __version__
from app.config.applied import LIMITS, to_json
from app.config.topology import Loaded, Topology
from app.delivery.backlog import calls_waiting
from app.metrics import ConfigMetrics
from app.reload import Reload
from app.settings import Settings
from app.store.applied import store_applied
from app.store.connection import Redis
from app.wiring.shared import lanes_of


def reload_of(
    settings: Settings, loaded: Loaded, redis: Redis, registry: CollectorRegistry, use: Callable[[Topology], None]
) -> Reload:
    """The reload of a process. `use` applies a new topology without waiting, or raises."""

    async def share(applied: Loaded) -> None:
        at, limits = datetime.now(UTC), {name: getattr(settings, name) for name in LIMITS}
        await store_applied(redis, to_json(applied, limits, at=at, release=__version__))

    return Reload(
        loaded,
        load=settings.loaded_again,
        use=use,
        waiting=lambda names: calls_waiting(redis, lanes_of(names)),
        metrics=ConfigMetrics(registry),
        share=share,
    )
