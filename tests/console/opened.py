"""A console without a process: its app, a client for each user, and calls and events to look at."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import yaml

from app.console.app import create_console
from app.console.guard import Guard
from app.console.visit import Parts
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, queue_key
from app.settings import load_settings
from app.store.connection import Redis
from app.store.keys import DestinationKeys
from tests.builders import NOW

# What `users hash` prints for "correct horse battery", with as little work as argon2 allows.
PASSWORD: Final = "correct horse battery"
HASH: Final = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$kQd08M5g5C17otqs6kzQgK0YuRD2niM7eevWQKwwoj4"
EMAIL: Final = "ada@shop.example"
BASE: Final = "http://127.0.0.1:8083"
USERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "vera": {"role": "viewer"},
    "otto": {"role": "operator"},
    "rita": {"role": "viewer", "reveal": True},
    "adam": {"role": "admin", "reveal": True},
    "udo": {"role": "admin", "reveal": True, "destinations": ["acme-uk"]},
}


def configuration(**console: Any) -> dict[str, Any]:
    """Two destinations, a source of each, and how users sign in."""
    users = {name: {**user, "password_hash": HASH} for name, user in USERS.items()}
    return {
        "destinations": {"acme": {"api_token": "t1"}, "acme-uk": {"api_token": "t2", "default_region": "GB"}},
        "sources": {
            "shop": {"write_key": "k1", "destination": "acme", "trust": "server"},
            "uk-shop": {"write_key": "k2", "destination": "acme-uk"},
        },
        "console": console or {"sign_in": "password", "users": users},
    }


@dataclass(frozen=True, slots=True)
class Opened:
    """The console, and who asks it."""

    app: Guard
    parts: Parts

    def client(self, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
        """A browser that has not signed in."""
        transport = httpx.ASGITransport(self.app, client=(address, 40_000), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, **{"base_url": BASE} | options)

    async def user(self, name: str, *groups: str, way: str = "password") -> httpx.AsyncClient:
        """A browser of a user that has signed in."""
        session_id = await self.parts.sessions.begin(name, groups, way, self.parts.sign_ins.now.proof(name, way))
        return self.client(cookies={"console-session": session_id})


@asynccontextmanager
async def opened(
    folder: Path,
    url: str,
    content: Mapping[str, Any] | None = None,
    *,
    http: httpx.AsyncClient | None = None,
    **settings: Any,
) -> AsyncIterator[Opened]:
    """A console with this configuration."""
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(content or configuration()))
    app = create_console(load_settings(redis_url=url, config=file, **settings), http=http)
    parts: Parts = app.app.state.parts
    try:
        yield Opened(app, parts)
    finally:
        await parts.live.close()
        await parts.jobs.close()
        await parts.sync_runs.close()
        await parts.oidc.close()
        await parts.redis.aclose(close_connection_pool=True)


async def keep_letter(
    redis: Redis, destination: str = "acme", queue: DeadLetterQueue = DeadLetterQueue.DEAD, **fields: Any
) -> str:
    """A dead letter, or a call in review. Its ID."""
    event: dict[str, Any] = {"type": "track", "event": "Product Viewed", "messageId": "m-1", "userId": "u-1"}
    event |= {"context": {"traits": {"email": EMAIL}}, "properties": {"product_id": "P-1", "name": "Shirt"}}
    body = {
        "items": [{"productId": "P-1", "productVariantId": "P-1", "price": [{"value": 19.9, "currency": "USD"}]}],
        "user": {"email": EMAIL},
    }
    facts: dict[str, Any] = {
        "message_id": "m-1",
        "source": "shop",
        "reason": "http_400",
        "detail": "price is missing",
        "event": orjson.dumps(event),
        "received_at": NOW,
        "endpoint": "product-view",
        "body": orjson.dumps(body),
        "attempts": 1,
    }
    letter = DeadLetter(**facts | fields)
    entry_id: bytes = await redis.xadd(queue_key(destination, queue), {b"d": letter.packed()})
    return entry_id.decode()


async def happen(
    redis: Redis, message_id: str, step: str, destination: str = "acme", *, entry_id: str = "*", **facts: Any
) -> str:
    """An entry of the journal. Its ID."""
    entry = {b"m": message_id, b"s": step, b"d": orjson.dumps(facts)}
    given: bytes = await redis.xadd(DestinationKeys(destination).journal, entry, id=entry_id)  # type: ignore[arg-type]
    return given.decode()


async def arrive(redis: Redis, message_id: str = "m-1", **facts: Any) -> str:
    """An event that was accepted, and its delivery."""
    usual: dict[str, Any] = {"source": "shop", "type": "track", "event": "Product Viewed", "decision": "forward"}
    usual |= {"calls": ["product-view"], "who": {"email": "a***@shop.example"}}
    await happen(redis, message_id, "received", **usual | facts)
    return await happen(
        redis, message_id, "attempt", endpoint="product-view", attempt=1, outcome="delivered", status=200, took_ms=9.5
    )
