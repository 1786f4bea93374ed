"""What the Python senders share: one shopper's visit in two halves, and the pause between them."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

URL = os.environ["GATEWAY"]
WRITE_KEY = os.environ["WRITE_KEY"]
USER = os.environ["SHOPPER"]

EVENTS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("visit.json").read_text().replace("USER", USER))


def visit(client: Any, flush: Callable[[], None]) -> None:
    """Send the first half, say so, and send the rest when told to. `flush` returns when the client is done with it."""
    for event in EVENTS[:3]:
        _send(client, event)
    flush()
    sys.stdout.write("half\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for event in EVENTS[3:]:
        _send(client, event)
    flush()


def _send(client: Any, event: dict[str, Any]) -> None:
    match event["type"]:
        case "identify":
            client.identify(user_id=USER, traits=event["traits"])
        case "page":
            client.page(user_id=USER, name=event["name"], properties=event["properties"])
        case _:
            client.track(user_id=USER, event=event["event"], properties=event["properties"])
