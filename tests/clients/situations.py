"""What may happen to a tracker and its gateway, staged for all clients at once."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import redis

from tests.clients.clients import CLIENTS, Client, Outcome, Visit
from tests.clients.proxy import CUT, running_proxy
from tests.stack import Stack, wait_until

EVENTS_PER_SECOND: Final = 1  # of the slow sources: three at once are let in, and then no two for 3 s


def key_of(client: Client, *, slow: bool = False) -> str:
    """Its write key. Each client is a source of its own, so that none uses up another's rate.

    Jitsu takes no key without a colon; the others keep what follows one to themselves.
    """
    return f"{'slow' if slow else 'key'}-{CLIENTS.index(client)}{':secret' if 'jitsu' in client.package else ''}"


def _plain(_gateway: Stack, visits: Sequence[Visit]) -> None:
    for visit in visits:
        visit.start()
        visit.go_on()


def _slow(_gateway: Stack, visits: Sequence[Visit]) -> None:
    """The second half comes as requests of its own: the first one may always come in, however large it is."""
    for visit in visits:
        visit.start()

    def goes_on(visit: Visit) -> bool:
        if visit.proxy.statuses:
            visit.go_on()
        return bool(visit.proxy.statuses)

    _until_all(visits, goes_on, "sends its first half")


def _full(gateway: Stack, visits: Sequence[Visit]) -> None:
    """No event can be kept from the start; there is room again when each client has been told."""
    with redis.Redis(port=gateway.redis_port) as client:
        client.config_set("maxmemory", 1)
        try:
            for visit in visits:
                visit.start()
            _until_all(visits, lambda visit: 503 in visit.proxy.statuses, "meets a 503")
        finally:
            client.config_set("maxmemory", 0)
    event = {"event": "Signed Up", "userId": "nobody-of-the-table"}
    wait_until(lambda: gateway.post("/v1/track", event).status_code == 200, "events are kept again")
    for visit in visits:
        visit.go_on()


def _restart(gateway: Stack, visits: Sequence[Visit]) -> None:
    """Redis dies when the first half is through, and comes back when each client has been told."""
    for visit in visits:
        visit.start()
    _until_all(visits, lambda visit: visit.first_half_arrived, "gets its first half through")
    gateway.kill("redis")
    try:
        for visit in visits:
            visit.go_on()
        _until_all(visits, lambda visit: 503 in visit.proxy.statuses, "meets a 503")
    finally:
        gateway.start("redis")


def _until_all(visits: Sequence[Visit], true: Callable[[Visit], bool], what: str, within_s: float = 60) -> None:
    left = list(visits)

    def none_left() -> bool:
        left[:] = [visit for visit in left if not true(visit)]
        return not left

    try:
        wait_until(none_left, "", within_s)
    except AssertionError:
        said = "\n".join(f"{visit.client.title} {visit.proxy.statuses}: {visit.said[-2000:]}" for visit in left)
        raise AssertionError(f"not within {within_s:g} s: each client {what}; not so\n{said}") from None


@dataclass(frozen=True, slots=True)
class Situation:
    """A column of the table."""

    name: str
    stage: Callable[[Stack, Sequence[Visit]], None]
    trouble: int | None = None  # the status that every client must have met, or CUT
    slow: bool = False
    cuts: int = 0

    def outcomes(self, gateway: Stack) -> dict[Client, Outcome]:
        """Stage it, wait until every client is done and nothing is under way, and look at the ledger."""
        with ExitStack() as ends:
            visits = []
            for client in CLIENTS:
                proxy = ends.enter_context(running_proxy(gateway.gateway_port, cuts=self.cuts))
                visits.append(Visit(client, gateway, proxy, key_of(client, slow=self.slow)))
                ends.callback(visits[-1].close)
            self.stage(gateway, visits)
            _until_all(visits, lambda visit: visit.settled, "ends", 120)  # some pauses are drawn by lot
            for visit in visits:
                assert visit.close() == 0, visit.said
                met = set(visit.proxy.statuses) - {200}
                assert met == ({self.trouble} if self.trouble is not None else set()), (visit.client.title, met)
            wait_until(lambda: gateway.waiting() == 0, "nothing waits", 30)
            return {visit.client: visit.outcome() for visit in visits}


SITUATIONS: Final = (
    Situation("plain", _plain),
    Situation("503", _full, trouble=503),
    Situation("Redis restart", _restart, trouble=503),
    Situation("429", _slow, trouble=429, slow=True),
    Situation("lost answer", _plain, trouble=CUT, cuts=2),
)
