"""Ports for the servers that tests start. Two processes of tests never get the same one, however many run at once."""

import atexit
import contextlib
import itertools
import socket
from collections.abc import Iterator
from functools import cache
from typing import Final

_SIZE: Final = 100
# Below the ports of outgoing connections: one of these could otherwise take a port before its server has started.
_BLOCKS: Final = range(10_000, 32_000, _SIZE)


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    for port in _own_ports():
        if (probe := _listen(port)) is not None:
            probe.close()
            return port
    raise AssertionError("cycle() does not end")


@cache
def _own_ports() -> Iterator[int]:
    """The ports of a block, over and over. This process owns the block for as long as it listens on the first."""
    for first in _BLOCKS:
        if (guard := _listen(first)) is not None:
            atexit.register(guard.close)
            return itertools.cycle(range(first + 1, first + _SIZE))
    raise AssertionError("no block of ports is free")


def _listen(port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return socket.create_server(("127.0.0.1", port))
    return None
