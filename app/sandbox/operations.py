"""The function that answers each endpoint."""

from collections.abc import Mapping
from typing import Final

from app.sandbox import attributes, bulk, events, identity, privacy, subscriptions
from app.sandbox.account import Operation, Visit
from app.sandbox.answers import Answer, json_answer
from app.sandbox.ledger import NO_EFFECT, Effect


def me(visit: Visit) -> tuple[Answer, Effect]:
    """Identify the key's account. It proves none of the key's scopes. Source: Attentive's authentication guide."""
    key = visit.key
    body = {
        "applicationName": key.app,
        "attentiveDomainName": key.domain,
        "companyName": key.company,
        "contactEmail": key.contact_email,
        "companyId": key.company_id,
    }
    return json_answer(200, body), NO_EFFECT


SERVED: Final[Mapping[str, Operation]] = {  # by the endpoint's name
    "me": me,
    "me_v2": me,
    "product_view": events.item_event,
    "add_to_cart": events.item_event,
    "purchase": events.purchase,
    "custom_event": events.custom_event,
    "set_attributes": attributes.set_attributes,
    "read_attributes": attributes.read_attributes,
    "upsert_user": attributes.upsert_user,
    "identity": identity.link_identifiers,
    "subscribe": subscriptions.subscribe,
    "eligibility": subscriptions.eligibility,
    "unsubscribe": subscriptions.unsubscribe,
    "create_segment": bulk.create_segment,
    "show_segment": bulk.show_segment,
    "add_members": bulk.add_members,
    "remove_members": bulk.remove_members,
    "upsert_users": bulk.upsert_users,
    "show_job": bulk.show_job,
    "privacy_delete": privacy.delete_request,
    "privacy_status": privacy.request_status,
}
