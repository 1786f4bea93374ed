"""Subscribe, unsubscribe and eligibility, with a count of the texts that the calls would have caused.

Neither call is safe to repeat: each repetition texts the person again. Source: Attentive's subscribers API.
"""

import re

from app.sandbox.account import Visit
from app.sandbox.answers import Answer, Refused, json_answer
from app.sandbox.ledger import Effect
from app.sandbox.people import Identifier, Person, Subscription, identifiers_in

E164 = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
LISTED_TYPES = ("MARKETING", "TRANSACTIONAL")


def subscribe(visit: Visit) -> tuple[Answer, Effect]:
    """Subscribe the phone to texts and the email to e-mails, whichever are given."""
    kind = _subscription_type(visit)
    wanted = [Subscription(contact, kind) for contact in _contacts(visit.body["user"])]
    _refuse_subscriber(visit, wanted)
    person, merged = visit.account.people.link(identifiers_in(visit.body))
    responses = []
    for subscription in wanted:
        repeated = person.subscriptions.get(subscription) is True
        person.subscriptions[subscription] = True
        responses.append(
            {
                "subscription": {"type": kind, "channel": subscription.channel},
                "subscriptionCreationStatus": "PREVIOUSLY_CREATED" if repeated else "NEWLY_CREATED",
            }
        )
    texts = sum(subscription.channel == "TEXT" for subscription in wanted)
    person.texts += texts
    body = {
        "user": visit.body["user"],
        "externalIdentifiers": visit.body.get("externalIdentifiers", {}),
        "subscriptionResponses": responses,
    }
    notes = tuple(f"merged:{other}" for other in merged)
    return json_answer(202, body), Effect(person=person.id, texts=texts, notes=notes)


def unsubscribe(visit: Visit) -> tuple[Answer, Effect]:
    """End the named subscriptions, or all; an email touches e-mails only and a phone texts only."""
    people = visit.account.people
    responses = []
    texts = 0
    person = None
    for contact in _contacts(visit.body["user"]):
        person = people.resolve([contact])
        if person is None:
            continue
        ending = _ending(visit, person, contact)
        for subscription in ending:
            ended = person.subscriptions.get(subscription) is True
            person.subscriptions[subscription] = False
            responses.append(
                {
                    "subscription": {"type": subscription.type, "channel": subscription.channel},
                    "subscriptionUnsubscribeStatus": "NEWLY_UNSUBSCRIBED" if ended else "PREVIOUSLY_UNSUBSCRIBED",
                }
            )
        if contact.kind == "phone" and ending and not visit.body.get("notification", {}).get("disabled", False):
            person.texts += 1
            texts += 1
    body = {"user": visit.body["user"], "subscriptionResponses": responses}
    return json_answer(202, body), Effect(person=None if person is None else person.id, texts=texts)


def eligibility(visit: Visit) -> tuple[Answer, Effect]:
    """List what the phone or e-mail is subscribed to; an unknown contact has no subscriptions."""
    contacts = contacts_in_query(visit)
    if not contacts:
        raise Refused(400, "query: must have a phone or an email")
    listed = []
    for contact in contacts:
        person = visit.account.people.find(contact)
        for kind in LISTED_TYPES:
            subscription = Subscription(contact, kind)
            subscribed = person is not None and person.subscriptions.get(subscription) is True
            listed.append(
                {
                    "subscription": {"type": kind, "channel": subscription.channel},
                    "eligibility": {"isEligible": subscribed},
                }
            )
    return json_answer(200, {"subscriptionEligibilities": listed}), Effect()


def contacts_in_query(visit: Visit) -> list[Identifier]:
    """The phone and the e-mail that a GET asks about, checked."""
    query = visit.call.query
    for name in ("phone", "email"):
        if name in query and not query[name].strip():
            raise Refused(400, f"{name}: must not be empty")
    if "phone" in query and E164.fullmatch(query["phone"]) is None:
        raise Refused(400, "phone: must be in E.164 form; in a query, + is written %2B")
    return _contacts(query)


def _contacts(user: dict[str, str]) -> list[Identifier]:
    return [Identifier(kind, value) for kind, value in identifiers_in(user) if kind in ("phone", "email")]


def _subscription_type(visit: Visit) -> str:
    body = visit.body
    source, locale, kind = body.get("signUpSourceId"), body.get("locale"), body.get("subscriptionType")
    if source is not None:
        if locale is not None or kind is not None:
            raise Refused(400, "signUpSourceId: must not come together with locale or subscriptionType")
        return next((unit.subscription_type for unit in visit.config.sign_up_units if unit.id == source), "MARKETING")
    if locale is None or kind is None:
        raise Refused(400, "signUpSourceId: is required unless both locale and subscriptionType are given")
    units = [
        unit
        for unit in visit.config.sign_up_units
        if (unit.language, unit.country, unit.subscription_type) == (locale["language"], locale["country"], kind)
    ]
    if len(units) != 1:
        raise Refused(400, f"locale: must match exactly one API sign-up unit of this type, and matches {len(units)}")
    return str(kind)


def _refuse_subscriber(visit: Visit, wanted: list[Subscription]) -> None:
    if visit.config.subscribed_again == "accept":
        return
    for subscription in wanted:
        person = visit.account.people.find(subscription.contact)
        if person is None or person.subscriptions.get(subscription) is not True:
            return
    raise Refused(409 if visit.config.subscribed_again == "conflict" else 400, "ALREADY_SUBSCRIBED")


def _ending(visit: Visit, person: Person, contact: Identifier) -> list[Subscription]:
    held = [subscription for subscription in person.subscriptions if subscription.contact == contact]
    named: list[dict[str, str]] | None = visit.body.get("subscriptions")
    if named is None:
        return held or [Subscription(contact, "MARKETING")]
    channel = Subscription(contact, "").channel
    ending: list[Subscription] = []
    for each in named:
        if each.get("channel", channel) == channel:
            ending += [Subscription(contact, each["type"])] if "type" in each else held
    return list(dict.fromkeys(ending))
