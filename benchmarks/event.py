"""The event that every server gets: one "Product Viewed", as analytics.js sends it, of a thousand different people."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

PEOPLE: Final = 1_000
BATCH: Final = 100
CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 8
MESSAGE_ID: Final = "@message-id@"  # stands where the load generator writes each request's own id
WRITE_KEY: Final = "benchmark-write-key"

_AREAS: Final = (201, 212, 305, 312, 404, 415, 503, 617, 702, 808)  # times 100 numbers kept free for examples


def event(person: int, message_id: str = MESSAGE_ID) -> dict[str, Any]:
    """One view of one product by person number `person` (0 to PEOPLE - 1), a moment ago. About 800 bytes as JSON."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    url = "https://northpeak.example/products/trail-runner-3"
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": message_id,
        "anonymousId": f"5b0f6c2e-7d1a-4e39-9c55-1f7a2b9d{person:04d}",
        "userId": f"cust_{20_000 + person}",
        "properties": {
            "product_id": "NP-4417",
            "sku": "NP-4417-BLU-10",
            "name": "Trail Runner 3",
            "category": "Footwear",
            "brand": "Northpeak",
            "price": 129.95,
            "currency": "USD",
            "url": url,
            "image_url": "https://northpeak.example/images/np-4417.jpg",
        },
        "context": {
            "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
            "ip": "203.0.113.24",
            "locale": "en-US",
            "page": {"path": "/products/trail-runner-3", "url": url},
            "traits": {
                "email": f"shopper.{person:04d}@example.com",
                "phone": f"+1{_AREAS[person // 100]}55501{person % 100:02d}",
            },
        },
        "timestamp": now,
        "sentAt": now,
    }


def body(person: int, message_id: str = MESSAGE_ID) -> bytes:
    """The same as JSON."""
    return orjson.dumps(event(person, message_id))


@dataclass(frozen=True, slots=True)
class Requests:
    """What the load generator posts: one body per line, with MESSAGE_ID wherever an id of its own is due."""

    path: str
    events: int  # per request
    connections: int
    lines: bytes = field(repr=False)


def tracks() -> Requests:
    """Single events, one of each person."""
    return Requests("/v1/track", 1, CONNECTIONS, b"\n".join(body(person) for person in range(PEOPLE)) + b"\n")


def batches() -> Requests:
    """The same events in batches of BATCH."""
    lines = []
    for first in range(0, PEOPLE, BATCH):
        events = [event(person) for person in range(first, first + BATCH)]
        lines.append(orjson.dumps({"batch": events}))
    return Requests("/v1/batch", BATCH, BATCH_CONNECTIONS, b"\n".join(lines) + b"\n")
