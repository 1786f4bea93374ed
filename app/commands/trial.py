"""The configuration that a command about the mapping works with: a file, or the environment."""

from collections.abc import Mapping
from pathlib import Path

from app.commands.common import fail
from app.config.destination import Destination
from app.config.topology import Topology, load_file
from app.settings import DEFAULT_DESTINATION, load_settings


def topology_of(config: Path | None) -> Topology | None:
    """The destinations of a file, or of GATEWAY_CONFIG; None without either. Secrets are not needed."""
    path = config or load_settings().config
    return None if path is None else load_file(path, secrets_needed=False).topology


def destinations_of(config: Path | None) -> Mapping[str, Destination]:
    """The destinations of a file or of GATEWAY_CONFIG; without either, the one that the environment describes."""
    if (topology := topology_of(config)) is not None:
        return topology.destinations
    settings = load_settings()
    account = {"api_token": "unknown", "base_url": settings.base_url, "default_region": settings.default_region}
    return {DEFAULT_DESTINATION: Destination.model_validate(account)}


def chosen(destinations: Mapping[str, Destination], name: str | None) -> Mapping[str, Destination]:
    """The one of this name, or all. Ends the command when there is none."""
    if name is None:
        return destinations
    if name not in destinations:
        fail(f"There is no destination {name!r}. The destinations are: {', '.join(destinations)}.", 2)
    return {name: destinations[name]}
