"""Which body each endpoint takes and which function answers it: the one place where the two meet."""

from dataclasses import dataclass

from app.sandbox import attributes, bodies, events, identity, privacy, subscriptions
from app.sandbox.account import Operation, Visit
from app.sandbox.answers import Answer, json_answer
from app.sandbox.checks import Shape
from app.sandbox.ledger import NO_EFFECT, Effect


def me(visit: Visit) -> tuple[Answer, Effect]:
    """Tell whose key this is; proves the key and none of its scopes. Source: Attentive's authentication guide."""
    key = visit.key
    body = {
        "applicationName": key.app,
        "attentiveDomainName": key.domain,
        "companyName": key.company,
        "contactEmail": key.contact_email,
        "companyId": key.company_id,
    }
    return json_answer(200, body), NO_EFFECT


@dataclass(frozen=True, slots=True)
class Served:
    """How one endpoint is served. No body means that the request's body is not looked at."""

    operation: Operation
    body: Shape | None = None


SERVED = {  # by the endpoint's name
    "me": Served(me),
    "me_v2": Served(me),
    "product_view": Served(events.item_event, bodies.ITEM_EVENT),
    "add_to_cart": Served(events.item_event, bodies.ITEM_EVENT),
    "purchase": Served(events.purchase, bodies.PURCHASE),
    "custom_event": Served(events.custom_event, bodies.CUSTOM_EVENT),
    "set_attributes": Served(attributes.set_attributes, bodies.ATTRIBUTES),
    "read_attributes": Served(attributes.read_attributes),
    "upsert_user": Served(attributes.upsert_user, bodies.USER_V2),
    "identity": Served(identity.link_identifiers, bodies.IDENTITY),
    "subscribe": Served(subscriptions.subscribe, bodies.SUBSCRIBE),
    "eligibility": Served(subscriptions.eligibility),
    "unsubscribe": Served(subscriptions.unsubscribe, bodies.UNSUBSCRIBE),
    "privacy_delete": Served(privacy.delete_request, bodies.PRIVACY),
    "privacy_status": Served(privacy.request_status),
}
