"""`python -m app.alive`: is what runs in this container alive? The image's HEALTHCHECK; standard library alone, 50 ms.

It asks /healthz, not /readyz: a container that waits for Redis must not be replaced. The same image is a gateway or a
worker, so either one's page will do.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

_WITHIN_S: Final = 3.0
_ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # where one who listens everywhere is found


def pages(environment: Mapping[str, str]) -> list[tuple[str, int]]:
    """Host and port of a gateway here, and of a worker here."""
    return [
        (_host(environment.get("GATEWAY_HOST", "")), int(environment.get("GATEWAY_PORT") or 8080)),
        (_host(environment.get("GATEWAY_WORKER_HOST", "")), int(environment.get("GATEWAY_WORKER_PORT") or 8081)),
    ]


def alive(host: str, port: int) -> bool:
    """Whether /healthz answers 200 there."""
    connection = HTTPConnection(host, port, timeout=_WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _host(listens_on: str) -> str:
    return _ANY.get(listens_on, listens_on)


if __name__ == "__main__":
    sys.exit(not any(alive(host, port) for host, port in pages(os.environ)))
