"""A stop does not wait for what may never end; who waited gets an answer, and what was accepted is delivered.

`Stack.stop` fails for a process that needs more than 10 s, times the patience of the tests, or does not end with 0.
"""

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest

from app.embedded import RedisBinary
from tests.stack import Stack, message_id, stack, wait_until

PATH = "/v1/events/custom"


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("shutdown"), redis_binary, fsync="always") as running:
        yield running


def track() -> dict[str, str]:
    return {"event": "Signed Up", "userId": "u-1", "messageId": message_id()}


@contextmanager
def half_a_request(gateway: Stack) -> Iterator[None]:
    """A tracker that has gone silent in the middle of its body."""
    with socket.create_connection(("127.0.0.1", gateway.gateway_port)) as connection:
        connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\n{")
        yield


@contextmanager
def an_idle_connection(gateway: Stack) -> Iterator[None]:
    """One that is kept open for the next request."""
    with socket.create_connection(("127.0.0.1", gateway.gateway_port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield


@contextmanager
def a_redis_that_hangs(gateway: Stack) -> Iterator[None]:
    """It keeps its connections and answers nothing, with a request and a claim on their way."""
    gateway.processes["redis"].send_signal(signal.SIGSTOP)

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):  # the gateway may stop before it has the request
            gateway.post("/v1/track", track())

    waiting = threading.Thread(target=ask)
    waiting.start()
    try:
        yield
    finally:
        gateway.processes["redis"].send_signal(signal.SIGCONT)
        waiting.join()


@contextmanager
def a_redis_that_is_gone(gateway: Stack) -> Iterator[None]:
    gateway.kill("redis")
    try:
        yield
    finally:
        gateway.start("redis")


@contextmanager
def an_attentive_that_hangs(gateway: Stack) -> Iterator[None]:
    """Calls are under way, and no answer comes while the worker could wait for it."""
    gateway.fault(kind="hang", path=PATH)
    try:
        assert gateway.post("/v1/track", track()).status_code == 200
        wait_until(lambda: gateway.struck() > 0, "a call is under way")
        yield
    finally:
        gateway.heal()


Meanwhile = Callable[[Stack], AbstractContextManager[None]]


@pytest.mark.parametrize("meanwhile", [half_a_request, an_idle_connection, a_redis_that_hangs])
def test_of_the_gateway(running: Stack, meanwhile: Meanwhile) -> None:
    with meanwhile(running):
        running.stop("gateway")
    running.start("gateway")
    assert running.post("/v1/track", track()).status_code == 200


@pytest.mark.parametrize("meanwhile", [an_attentive_that_hangs, a_redis_that_hangs, a_redis_that_is_gone])
def test_of_the_worker(running: Stack, meanwhile: Meanwhile) -> None:
    with meanwhile(running):
        running.stop("worker")
    running.start("worker")
    event = track()
    assert running.post("/v1/track", event).status_code == 200
    wait_until(lambda: len(running.ledger(message_id=event["messageId"])) == 1, "the event arrives", 30)
    wait_until(lambda: running.waiting() == 0, "nothing else waits", 30)


def test_of_the_gateway_answers_a_request_that_is_whole_in_time(running: Stack) -> None:
    body = json.dumps(track()).encode()
    head = b"POST /v1/track HTTP/1.1\r\nHost: gateway\r\nAuthorization: Basic am91cm5leS1rZXk6\r\n"
    with socket.create_connection(("127.0.0.1", running.gateway_port)) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
        stopped = threading.Thread(target=running.stop, args=("gateway",))
        wait_until(running.gateway_ready, "the gateway has seen it")
        stopped.start()
        wait_until(lambda: not _listens(running.gateway_port), "the gateway takes no new connections")
        connection.sendall(body[5:])
        assert connection.recv(12) == b"HTTP/1.1 200"
        stopped.join()
    running.start("gateway")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
