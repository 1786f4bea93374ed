"""The configuration that an operation works with: that of its environment, else the last one a gateway applied."""

from collections.abc import Mapping
from typing import Any

from arq.connections import ArqRedis

from app import __version__
from app.config.applied import LIMITS, Applied, from_json
from app.config.bad_settings import BadSettings
from app.config.topology import Topology
from app.operations.operator import Operator
from app.settings import Settings
from app.store.applied import read_applied


async def operator_for(redis: ArqRedis, settings: Settings) -> tuple[Operator, str]:
    """What an operation works with, and a note on where its configuration comes from, empty for its own environment.

    Raises BadSettings where neither the environment nor Redis has a usable one, and StoreError.
    """
    stored = await read_applied(redis)
    topology, problem = _own(settings)
    if stored is None:
        if topology is None:
            raise BadSettings(f"{problem}. No gateway or worker has stored a configuration in this Redis either")
        return Operator(settings, topology, redis), ""
    try:
        applied = from_json(stored)
    except BadSettings as unreadable:
        if topology is None:
            raise BadSettings(f"{problem}. {unreadable}") from None
        return Operator(settings, topology, redis), ""
    settings = _with_limits(settings, applied)
    if topology is not None:
        return Operator(settings, topology, redis), ""
    return Operator(settings, applied.topology, redis), _note(applied, str(problem))


def _own(settings: Settings) -> tuple[Topology | None, BadSettings | None]:
    try:
        return settings.topology(), None
    except BadSettings as problem:
        return None, problem


def _with_limits(settings: Settings, applied: Applied) -> Settings:
    unset: Mapping[str, Any] = {
        name: value
        for name, value in applied.limits.items()
        if name in LIMITS and name not in settings.model_fields_set
    }
    return settings.model_copy(update=unset)


def _note(applied: Applied, problem: str) -> str:
    other = "" if applied.release == __version__ else f", release {applied.release}"
    return (
        f"Using the configuration that the gateway applied at {applied.at:%Y-%m-%d %H:%M:%S} UTC{other}, "
        f"because this command has none of its own: {problem}."
    )
