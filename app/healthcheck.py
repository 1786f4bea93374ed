"""`python -m app.healthcheck`: the image's HEALTHCHECK. It needs only the standard library, and takes 50 ms.

It requests /healthz, not /readyz: a container that waits for Redis must not be replaced. One image serves as gateway,
worker or console, so the page of any of these will do.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

_WITHIN_S: Final = 3.0
_ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # for a process that listens on all


def pages(environment: Mapping[str, str]) -> list[tuple[str, int]]:
    """Host and port of a local gateway, worker and console."""
    return [
        (_host(environment.get("GATEWAY_HOST", "")), int(environment.get("GATEWAY_PORT") or 8080)),
        (_host(environment.get("GATEWAY_WORKER_HOST", "")), int(environment.get("GATEWAY_WORKER_PORT") or 8081)),
        (_host(environment.get("GATEWAY_CONSOLE_HOST", "")), int(environment.get("GATEWAY_CONSOLE_PORT") or 8083)),
    ]


def alive(host: str, port: int) -> bool:
    """Whether /healthz answers 200."""
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
