"""Whatever comes in and however it is mapped: the calls keep the contract."""

from typing import Final

import orjson
from hypothesis import HealthCheck, given, settings

from app.attentive.endpoints import BY_NAME
from app.pipeline import Forward
from tests.builders import Raw, decided, planned
from tests.contracts.attentive_contract import Contract
from tests.contracts.test_catalogue_contract import EVENTS_OF_ANY_KIND

# Every word of the settings, reading from everywhere; expressions that fail or give what cannot be sent.
PLAN: Final = planned("""
item:
  productId: [event, sku, id, $.event]
  price: [value, {jmespath: "sum(values(@))"}, {jmespath: "to_number(price)"}, price, {constant: 1}]
  currency: [brand, currency, $.properties.currency]
  name: {jmespath: "@"}
  productUrl: $.properties
  quantity: [quantity, {jmespath: "length(@)"}]
events:
  Order Completed:
    items: [properties.products, properties]
    orderId: [properties.order_id, properties.value, messageId]
    salesChannel: [properties.value, {constant: WEB}]
  Product Viewed:
    to: [product-view, add-to-cart, custom-event, user-attributes, identity]
    type: [properties.value, event]
other:
  type: [properties.value, properties.key, traits.title, event]
  externalEventId: [properties.id, messageId]
  drop: [price, products.price, value.value]
  rename: {order_id: "(order)", sku: mediaUrl}
  properties:
    "a|b": properties
    all: {jmespath: "@"}
    numbers: {jmespath: "map(&to_number(@), values(properties))"}
    traits: traits
    times: [timestamp, sentAt]
page: {to: [custom-event, product-view], keep: all}
screen: {to: purchase, items: properties}
""")
CONTRACT: Final = Contract.ours()


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(raw=EVENTS_OF_ANY_KIND)
def test_a_call_of_a_destinations_own_making_keeps_the_contract(raw: Raw) -> None:
    decision = decided(raw, plan=PLAN)
    for sent in decision.deliveries if isinstance(decision, Forward) else ():
        assert CONTRACT.errors("POST", BY_NAME[sent.endpoint].path, orjson.loads(sent.body)) == []
