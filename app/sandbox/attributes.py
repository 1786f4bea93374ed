"""Custom attributes (v1), user attributes (v2), and the lock on an attribute's type.

The first value ever seen for a name decides the type of that attribute for the whole account.
Source: Attentive's custom attributes API (v1) and user attributes API (v2).
"""

import re
from typing import Any

from app.sandbox.account import Visit
from app.sandbox.answers import EMPTY_200, Answer, Refused, json_answer
from app.sandbox.bodies import Misfit
from app.sandbox.ledger import Effect
from app.sandbox.people import identifiers_in
from app.sandbox.subscriptions import contacts_in_query
from app.sandbox.times import parse_iso8601

NUMERIC = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
FITS = {  # what may be stored in an attribute of each kind, by the kind that the new value looks like
    "string": frozenset({"string", "numeric string", "date"}),
    "number": frozenset({"number", "numeric string"}),
    "date": frozenset({"date"}),
    "boolean": frozenset({"boolean"}),
}


def set_attributes(visit: Visit) -> tuple[Answer, Effect]:
    """Merge custom attributes into a person. Other attributes keep their values."""
    properties: dict[str, Any] = visit.body["properties"]
    if (conflict := _conflict(visit, properties, "properties")) is not None:
        raise Refused(400, str(conflict))
    person = visit.account.people.resolve(identifiers_in(visit.body))
    if person is None:
        if visit.config.unlinked == "reject":
            raise Refused(404, "user: no such user; an external identifier must be linked to a phone or email first")
        return EMPTY_200, Effect(notes=("unlinked", "discarded"))
    _lock_kinds(visit, properties)
    person.attributes |= properties
    return EMPTY_200, Effect(person=person.id)


def read_attributes(visit: Visit) -> tuple[Answer, Effect]:
    """List a person's custom attributes, every value as a string."""
    contacts = contacts_in_query(visit)
    if len(contacts) != 1:
        raise Refused(400, "query: must have exactly one of phone and email")
    person = visit.account.people.find(contacts[0])
    if person is None:
        raise Refused(404, "query: no such user")
    listed = [{"name": name, "value": _as_text(value)} for name, value in person.attributes.items()]
    return json_answer(200, listed), Effect(person=person.id)


def upsert_user(visit: Visit) -> tuple[Answer, Effect]:
    """Create or update a person by any identifier. The identifiers of one call are linked."""
    parts: dict[str, Any] = visit.body.get("attributes", {})
    custom: dict[str, Any] = parts.get("custom", {})
    notes: tuple[str, ...] = ()
    if (conflict := _conflict(visit, custom, "attributes", "custom")) is not None:
        if visit.config.v2_type_conflicts == "refuse":
            raise Refused(400, str(conflict))
        custom, notes = {}, ("type_conflict",)
    person, merged = visit.account.people.link(identifiers_in(visit.body))
    _lock_kinds(visit, custom)
    person.attributes |= custom | _well_known(parts)
    body = {"success": True, "message": "accepted"}
    return json_answer(202, body), Effect(person=person.id, notes=(*notes, *(f"merged:{other}" for other in merged)))


def _well_known(parts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("firstName", "lastName"):
        if name in parts:
            found[name] = parts[name]
    for group in ("demographic", "location", "locale"):
        found |= {f"{group}.{name}": value for name, value in parts.get(group, {}).items()}
    return found


def _conflict(visit: Visit, properties: dict[str, Any], *place: str) -> Misfit | None:
    for name, value in properties.items():
        locked = visit.account.attribute_kinds.get(name)
        if locked is not None and _looks_like(value) not in FITS[locked]:
            return Misfit(f"must be a {locked}, as the first value of this attribute was", *place, name)
    return None


def _lock_kinds(visit: Visit, properties: dict[str, Any]) -> None:
    numeric = "number" if visit.config.numeric_strings_are_numbers else "string"
    for name, value in properties.items():
        kind = _looks_like(value)
        visit.account.attribute_kinds.setdefault(name, numeric if kind == "numeric string" else kind)


def _looks_like(value: Any) -> str:
    if type(value) is bool:
        return "boolean"
    if type(value) in (int, float):
        return "number"
    if NUMERIC.fullmatch(value):
        return "numeric string"
    return "date" if parse_iso8601(value) is not None else "string"


def _as_text(value: Any) -> str:
    return str(value).lower() if type(value) is bool else str(value)
