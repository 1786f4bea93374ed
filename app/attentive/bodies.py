"""Checks whether Attentive accepts a request body, by the rules of openapi/attentive.yaml, compiled.

The document is strict: it allows only the form in which the gateway calls. `x-rule` next to a keyword is the sentence
for operators when the keyword refuses a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    import jsonschema_rs

_FILE: Final = "attentive.yaml"
_HERE: Final = Path(__file__).parent
_PLACES: Final = (_HERE / _FILE, _HERE.parent.parent / "openapi" / _FILE)  # in a wheel, in the source tree
_TYPES: Final[Mapping[str, str]] = {  # in the order in which an error lists them
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "null": "null",
    "boolean": "true or false",
}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. The text names the field and the rule, and never contains a value."""

    path: tuple[str | int, ...]
    rule: str  # such as "must be a number"

    def __str__(self) -> str:
        """Such as "items.0.price.0.value: must be a number"."""
        return f"{'.'.join(map(str, self.path)) or 'body'}: {self.rule}"


class Bodies:
    """The request bodies of one document, compiled, by the path of the POST that accepts each."""

    def __init__(self, document: Document, formats: Mapping[str, Any] | None = None) -> None:
        """`formats` are functions that tell whether a text has a format that JSON Schema does not know."""
        import jsonschema_rs  # 3 MB that a process without bodies to judge does without

        self._document = document
        self._validators = {
            path: jsonschema_rs.Draft202012Validator(
                {**methods["post"]["requestBody"]["content"]["application/json"]["schema"], "components": schemas},
                validate_formats=True,
                formats=dict(formats or {}),
            )
            for schemas in [document["components"]]
            for path, methods in document["paths"].items()
            if "post" in methods
        }

    def __contains__(self, path: str) -> bool:
        return path in self._validators

    def violation(self, path: str, body: Any) -> Violation | None:
        """The first rule that this body breaks. None if the body is valid. Raises KeyError for an unknown path."""
        validator = self._validators[path]
        if validator.is_valid(body):
            return None
        return next(_violation(self._document, error) for error in validator.iter_errors(body))


@cache
def read_contract() -> Document:
    """The parsed openapi/attentive.yaml."""
    file = next((place for place in _PLACES if place.exists()), _PLACES[0])
    document: Document = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return document


@cache
def contract() -> Bodies:
    """The bodies of the shipped openapi/attentive.yaml."""
    return Bodies(read_contract())


def _violation(document: Document, error: "jsonschema_rs.ValidationError") -> Violation:
    path, kind = tuple(error.instance_path), error.kind
    match kind.name:
        case "required":
            return Violation((*path, kind.value), "is required")
        case "additionalProperties":
            known = ", ".join(_schema_of(document, error).get("properties", {}))
            return Violation((*path, kind.value[0]), f"is not a known key; known are {known}")
        case "propertyNames":
            name = kind.as_dict()["error"]
            return Violation((*path, name.instance[:40]), f"key {_rule(document, name)}")
        case "falseSchema":
            return Violation(path, "must not be given here")
        case _:
            return Violation(path, _rule(document, error))


def _rule(document: Document, error: "jsonschema_rs.ValidationError") -> str:
    """The rule that this value breaks, as a predicate: "must be a number"."""
    schema, limit = _schema_of(document, error), error.kind.value
    match error.kind.name:
        case "type":
            return f"must be {_either(limit if isinstance(limit, list) else [limit])}"
        case "enum":
            return f"must be one of {', '.join(repr(choice) for choice in limit)}"
        case "minLength" | "minItems":
            return "must not be empty"
        case "maxLength":
            return f"must be no longer than {limit} characters"
        case "minProperties":
            return f"must have at least one of {', '.join(schema.get('properties', ())) or 'anything'}"
        case "maxProperties":
            return f"must have at most {limit} keys"
        case "minimum":
            return "must not be negative" if limit == 0 else f"must be at least {limit}"
        case "maximum":
            return f"must be at most {limit}"
        case "pattern" if isinstance(error.instance, str) and not error.instance.strip():
            return "must not be empty"
        case "pattern" if bad := set(schema.get("x-forbidden", "")) & set(str(error.instance)):
            return f"must not contain {min(bad)}"
        case name:
            return str(schema.get("x-rule") or f"breaks the rule {name!r} of Attentive's contract")


def _either(types: Sequence[str]) -> str:
    *most, last = [name for key, name in _TYPES.items() if key in types]
    return (", " if " or " in last else " or ").join(filter(None, [", ".join(most), last]))


def _schema_of(document: Document, error: "jsonschema_rs.ValidationError") -> Mapping[str, Any]:
    """The schema that holds the keyword which refused the value."""
    here: Any = document
    for step in list(error.schema_path)[:-1]:
        here = here[step]
    found: Mapping[str, Any] = here
    return found
