"""The Identity API: links several identifiers to one person. Source: Attentive's identity resolution API."""

from app.sandbox.account import Visit
from app.sandbox.answers import EMPTY_202, Answer, Refused
from app.sandbox.ledger import Effect
from app.sandbox.people import identifiers_in


def link_identifiers(visit: Visit) -> tuple[Answer, Effect]:
    """Link a clientUserId or custom identifier to at least one more. People who share a value become one."""
    identifiers = identifiers_in(visit.body)
    if len(set(identifiers)) < 2:
        raise Refused(400, "body: must have one more identifier beside the clientUserId or custom identifier")
    person, merged = visit.account.people.link(identifiers)
    return EMPTY_202, Effect(person=person.id, notes=tuple(f"merged:{other}" for other in merged))
