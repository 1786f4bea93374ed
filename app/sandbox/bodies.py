"""The request bodies that this sandbox accepts: openapi/attentive.yaml, widened to what Attentive itself accepts.

Behaviour of Attentive that is unknown is a switch of the configuration.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from app.attentive.bodies import Bodies, Violation, read_contract
from app.sandbox.config import SandboxConfig
from app.sandbox.times import parse_iso8601, parse_rfc3339

_ALWAYS_CLOSED: Final = ("User", "Subscriber")
_DOCUMENTED_ALONE: Final = {"pattern": r'^[^"{}\[\]\\|]+$', "x-forbidden": '"{}[]\\|'}
_FORMATS: Final = {
    "iso8601": lambda text: parse_iso8601(text) is not None,
    "rfc3339": lambda text: parse_rfc3339(text) is not None,
}


class Misfit(Exception):  # noqa: N818 - a body that fits no rule; nothing went wrong here
    """A body breaks a rule. The text names the field and the rule."""

    def __init__(self, rule: str, *path: str | int) -> None:
        super().__init__(str(Violation(path, rule)))


def check_body(path: str, body: Any, config: SandboxConfig) -> None:
    """Refuse a body that the endpoint at this path does not accept. Raises Misfit."""
    bodies = _bodies(config.refuse_unknown_keys, config.forbidden_characters, config.attribute_names_max)
    if found := bodies.violation(path, body):
        raise Misfit(found.rule, *found.path)
    for place, attributes in _custom_attributes(body):
        for name, value in attributes.items():
            options = config.attribute_options.get(name)
            if options is not None and value not in options:
                raise Misfit("must be one of the options of this attribute", *place, name)


def _custom_attributes(body: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if "type" in body:  # a custom event, whose properties are not attributes
        return []
    custom = body.get("attributes", {}).get("custom", {})
    return [(("properties",), body.get("properties", {})), (("attributes", "custom"), custom)]


@lru_cache(maxsize=16)
def _bodies(refuse_unknown_keys: bool, forbidden_characters: str, attribute_names_max: int | None) -> Bodies:
    document = _widened(read_contract())
    schemas = document["components"]["schemas"]
    if forbidden_characters == "documented":
        schemas["PropertyKey"] |= _DOCUMENTED_ALONE
    schemas["AttributeValues"]["maxProperties"] = attribute_names_max
    if attribute_names_max is None:
        del schemas["AttributeValues"]["maxProperties"]
    if not refuse_unknown_keys:
        document["components"]["schemas"] = {
            name: schema if name in _ALWAYS_CLOSED else _opened(schema) for name, schema in schemas.items()
        }
    return Bodies(document, _FORMATS)


def _widened(node: Any) -> Any:
    """A copy in which `x-attentive-takes` replaces the keywords next to it."""
    if isinstance(node, list):
        return [_widened(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {**node, **node.get("x-attentive-takes", {})}
    return {key: _widened(value) for key, value in node.items() if value is not None and key != "x-attentive-takes"}


def _opened(node: Any) -> Any:
    """A copy whose objects accept unknown keys."""
    if isinstance(node, list):
        return [_opened(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _opened(value) for key, value in node.items() if not (key == "additionalProperties" and value is False)
    }
