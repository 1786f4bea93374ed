"""The request bodies of Attentive's API, as tables of keys and checks.

Source: Attentive's API reference. Four endpoints name the same person in four different shapes; each is spelled out.
"""

from app.sandbox.checks import (
    Each,
    Required,
    Shape,
    amount,
    any_text,
    attributes,
    capped_attributes,
    currency,
    event_type,
    flag,
    identifier,
    iso8601,
    one_of,
    phone,
    properties,
    rfc3339,
    text,
    whole,
)

NAME_VALUE = Shape({"name": Required(text), "value": Required(text)})
KEY_VALUE = Shape({"key": Required(text), "value": Required(text)})

USER = Shape(
    {
        "phone": phone,
        "email": text,
        "externalIdentifiers": Shape(
            {"clientUserId": identifier(100), "customIdentifiers": Each(NAME_VALUE)}, not_empty=True
        ),
    },
    closed=True,
    not_empty=True,
)
CONTACT = Shape({"phone": phone, "email": text}, closed=True, not_empty=True)

ITEM = Shape(
    {
        "productId": Required(text),
        "productVariantId": Required(text),
        "price": Required(Each(Shape({"value": Required(amount), "currency": currency}), not_empty=True)),
        "name": any_text,
        "productImage": any_text,
        "productUrl": any_text,
        "quantity": whole,
    }
)
ITEMS = Required(Each(ITEM, not_empty=True))

ITEM_EVENT = Shape({"items": ITEMS, "user": Required(USER), "occurredAt": iso8601})
PURCHASE = Shape(
    {
        "items": ITEMS,
        "user": Required(USER),
        "occurredAt": iso8601,
        "orderId": any_text,
        "salesChannel": Shape(
            {"channelType": one_of("WEB", "IOS_APP", "ANDROID_APP", "IN_STORE", "PHONE", "OTHER", "")}
        ),
    }
)
CUSTOM_EVENT = Shape(
    {
        "type": Required(event_type),
        "user": Required(USER),
        "properties": properties,
        "externalEventId": text,
        "occurredAt": rfc3339,
    }
)

ATTRIBUTES = Shape({"properties": Required(attributes), "user": Required(USER)})
USER_V2 = Shape(
    {
        "identifiers": Required(
            Shape(
                {
                    "email": text,
                    "phone": phone,
                    "shopifyId": text,
                    "klaviyoId": text,
                    "clientUserId": identifier(100),
                    "customIdentifiers": Each(KEY_VALUE),
                },
                not_empty=True,
            )
        ),
        "attributes": Shape(
            {
                "firstName": any_text,
                "lastName": any_text,
                "demographic": Shape(
                    {
                        **dict.fromkeys(("language", "dateOfBirth", "organization", "title", "website"), any_text),
                        "age": whole,
                    }
                ),
                "location": Shape(
                    dict.fromkeys(
                        (
                            "address1",
                            "address2",
                            "city",
                            "state",
                            "zip",
                            "latitude",
                            "longitude",
                            "country",
                            "region",
                            "timezone",
                        ),
                        any_text,
                    )
                ),
                "locale": Shape({"language": any_text, "country": any_text}),
                "custom": capped_attributes,
            }
        ),
        "subscriptions": Each(
            Shape(
                {
                    "signUpSourceId": Required(text),
                    "channel": Required(one_of("TEXT", "EMAIL")),
                    "subscriptionType": text,
                    "singleOptIn": flag,
                }
            )
        ),
    }
)

IDENTITY = Shape(
    {
        "phone": phone,
        "email": identifier(100),
        "shopifyId": identifier(100),
        "klaviyoId": identifier(100),
        "clientUserId": identifier(100),
        "customIdentifiers": Each(Shape({"name": Required(identifier(100)), "value": Required(identifier(100))})),
    }
)

SUBSCRIBE = Shape(
    {
        "user": Required(CONTACT),
        "signUpSourceId": text,
        "locale": Shape({"language": Required(text), "country": Required(text)}),
        "subscriptionType": one_of("MARKETING", "TRANSACTIONAL"),
        "externalIdentifiers": Shape(
            {
                "clientUserId": identifier(100),
                "shopifyId": text,
                "klaviyoId": text,
                "customIdentifiers": Each(NAME_VALUE),
            }
        ),
        "singleOptIn": flag,
    }
)
UNSUBSCRIBE = Shape(
    {
        "user": Required(CONTACT),
        "subscriptions": Each(
            Shape(
                {
                    "type": one_of("MARKETING", "TRANSACTIONAL", "CHECKOUT_ABANDONED"),
                    "channel": one_of("TEXT", "EMAIL"),
                }
            )
        ),
        "notification": Shape({"language": one_of("en-US", "fr-CA"), "disabled": flag}),
    }
)

PRIVACY = Shape({"subjectEmail": text, "subjectPhone": text, "clientUserId": text, "requestMsg": any_text})
