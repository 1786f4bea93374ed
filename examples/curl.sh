#!/bin/sh
# One call of each kind, by hand. The defaults suit a gateway started with `make run`:
#
#     sh examples/curl.sh
#     BASE_URL=https://events.northpeak.example WRITE_KEY=... sh examples/curl.sh
#
# The write key is the user name of basic auth, and the password is empty: -u "$WRITE_KEY:".
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
WRITE_KEY=${WRITE_KEY:-dev}

# post PATH: send what stands on standard input; print the answer and its status.
post() {
    printf '\n== POST %s\n' "$1"
    curl --silent --show-error --max-time 15 -u "$WRITE_KEY:" \
        -H 'Content-Type: application/json' --data-binary @- \
        --write-out '\n(HTTP %{http_code})\n' "$BASE_URL$1" || {
        printf 'No answer from %s. Is the gateway running? Start it with: make run\n' "$BASE_URL" >&2
        exit 1
    }
}

# A person. The e-mail address, the phone number and the user id become one person at Attentive; the other traits
# become attributes of that person.
post /v1/identify <<'JSON'
{
  "userId": "cust_20418",
  "traits": {
    "email": "maya.okafor@example.com",
    "phone": "+14155550132",
    "firstName": "Maya",
    "lastName": "Okafor",
    "language": "en",
    "loyalty_tier": "gold"
  }
}
JSON

# An action. `context.traits` names the person; a userId alone would do as well. Product Viewed, Product
# Added and Order Completed become Attentive's eCommerce events, all others become custom events.
post /v1/track <<'JSON'
{
  "event": "Product Viewed",
  "userId": "cust_20418",
  "context": {"traits": {"email": "maya.okafor@example.com", "phone": "+14155550132"}},
  "properties": {
    "product_id": "NP-3307",
    "sku": "RDG-W-75",
    "name": "Ridgeline Trail Shoe",
    "variant": "Women's 7.5",
    "price": 129.95,
    "currency": "USD",
    "url": "https://northpeak.example/products/ridgeline-trail-shoe"
  }
}
JSON

# A page view.
post /v1/page <<'JSON'
{
  "name": "Home",
  "userId": "cust_20418",
  "properties": {
    "path": "/",
    "referrer": "https://search.example/",
    "search": "",
    "title": "Northpeak Outfitters",
    "url": "https://northpeak.example/"
  }
}
JSON

# Several at once. In a batch, each event states its type. The second one names no person (an anonymousId does not count):
# it is accepted, and then dropped on purpose.
post /v1/batch <<'JSON'
{
  "batch": [
    {
      "type": "track",
      "event": "Order Completed",
      "userId": "cust_20418",
      "context": {"traits": {"email": "maya.okafor@example.com"}},
      "properties": {
        "order_id": "NP-100611",
        "currency": "USD",
        "total": 211.86,
        "products": [
          {"product_id": "NP-3307", "sku": "RDG-W-75", "name": "Ridgeline Trail Shoe", "price": 129.95, "quantity": 1},
          {"product_id": "NP-4102", "sku": "SOK-2P-M", "name": "Merino Hiking Sock", "price": "39.95", "quantity": 2}
        ]
      }
    },
    {
      "type": "page",
      "anonymousId": "2f9c7b31-04de-4c8a-9b16-8e5d3a70c4f1",
      "properties": {"path": "/", "title": "Northpeak Outfitters", "url": "https://northpeak.example/"}
    }
  ]
}
JSON

# A bad one: the JSON breaks off. Refused with 400 and a body that gives the reason.
post /v1/track <<'JSON'
{"event": "Product Viewed", "userId": "cust_20418", "properties": {
JSON
