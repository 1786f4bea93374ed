"""A process that makes calls, and prints how much they leave to the garbage collector. test_client.py starts it."""

import asyncio
import gc
from typing import Final

from app.attentive.endpoints import CUSTOM_EVENT
from tests.attentive.servers import BODY, client_of, says, serving

CALLS: Final = 100


def main() -> None:
    """Print the number of objects that are in cycles after CALLS calls."""
    print(asyncio.run(_left_by_calls()))  # noqa: T201


async def _left_by_calls() -> int:
    async with serving(says("200 OK", b"{}")) as server, client_of(server.url) as client:
        await client.send(CUSTOM_EVENT, BODY)
        while gc.collect():  # what is freed may have held more
            pass
        for _ in range(CALLS):
            await client.send(CUSTOM_EVENT, BODY)
        return gc.collect()
