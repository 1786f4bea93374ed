"""The custom attributes of each account: listing them with their types, and forgetting one."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.delivery.accounts.attributes import forget_attribute, read_attributes
from app.delivery.counters import read_counters
from app.operations.operator import NotFound, Operator


@dataclass(frozen=True, slots=True)
class Attribute:
    """One custom attribute, and how many of its values were left out because of their type."""

    name: str
    type: str
    declared: bool  # by the settings, not by the first value
    values_left_out: int


@dataclass(frozen=True, slots=True)
class AttributeList:
    """The attributes of one account. `beyond`: values of further attributes, which were left out."""

    destination: str
    attributes: Sequence[Attribute]
    in_use: int
    most: int | None
    beyond: int


async def list_attributes(operator: Operator, destination: str | None = None) -> list[AttributeList]:
    """The attributes of one destination or of all, by name. Raises BadRequest."""
    names = operator.chosen(destination)
    known = await read_attributes(operator.redis, names)
    lists = []
    for counters in await read_counters(operator.redis, names):
        settings = operator.topology.destinations[counters.destination].attributes
        seen, left_out = known[counters.destination], counters.left_out
        attributes = [
            Attribute(
                name,
                type=settings.types.get(name) or seen[name],
                declared=name in settings.types,
                values_left_out=sum(left_out.get(f"{reason}:{name}", 0) for reason in ("type", "refused")),
            )
            for name in sorted({*seen, *settings.types})
        ]
        beyond = left_out.get("names", 0)
        lists.append(AttributeList(counters.destination, attributes, len(seen), settings.most_names, beyond))
    return lists


async def forget(operator: Operator, name: str, destination: str | None = None) -> list[str]:
    """Forget an attribute and its type; the destinations that knew it. Raises BadRequest, and NotFound for none."""
    forgotten = [one for one in operator.chosen(destination) if await forget_attribute(operator.redis, one, name)]
    if not forgotten:
        raise NotFound(f"There is no attribute {name!r}. Run `attentive-gateway attributes list` to see all of them.")
    return forgotten
