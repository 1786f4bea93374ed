"""A check at the start of a process: whether this Redis may lose acknowledged events."""

import structlog

from app.config.bad_settings import BadSettings
from app.settings import Settings
from app.store.connection import Redis, open_redis, why_unavailable
from app.store.durability import check_durability
from app.store.errors import StoreError

log = structlog.get_logger()


async def warn_unless_durable(redis: Redis, *, required: bool, managed: bool = False) -> None:
    """Log a warning if this Redis may lose events. Raises BadSettings if `required` forbids that.

    A `managed` service keeps a log of its own, see check_durability.
    """
    try:
        durability = await check_durability(redis, managed=managed)
    except StoreError as failure:
        # These commands carry no event, so the error text cannot contain one: it names the address and the cause.
        reason, error = why_unavailable(failure), str(failure)[:200]
        if required:
            raise BadSettings(f"GATEWAY_REQUIRE_DURABLE_REDIS: Redis cannot be asked ({reason}: {error})") from None
        log.error("redis.unreachable_at_start", reason=reason, error=error, hint="is GATEWAY_REDIS_URL right?")
        return
    for problem in durability.problems:
        log.warning("redis.not_durable", problem=problem, server=durability.server)
    if not durability.maxmemory and not managed:
        log.warning("redis.no_maxmemory", hint="set it, so that events are refused before its machine is out of memory")
    if durability.problems and required:
        raise BadSettings("GATEWAY_REQUIRE_DURABLE_REDIS: Redis may lose events: " + "; ".join(durability.problems))


async def check_redis(settings: Settings) -> None:
    """Check before the processes start, so that a refusal is one line. Raises BadSettings."""
    redis = open_redis(settings.redis_url.get_secret_value())
    try:
        await warn_unless_durable(redis, required=settings.require_durable_redis, managed=settings.is_managed)
    finally:
        await redis.aclose()
