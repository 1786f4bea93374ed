"""One request of a signed-in user, and what it may do: a dependency of every page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from app.config.topology import Topology
from app.config.values import LOOPBACK
from app.console.access import EVERYTHING, Access, Right
from app.console.guard import host_of
from app.console.jobs import Jobs
from app.console.live import Live
from app.console.menu import Item, menu
from app.console.oidc import OidcSignIn
from app.console.passwords import Passwords
from app.console.rates import RecentRates
from app.console.revisions import Revisions
from app.console.sessions import Session, Sessions
from app.console.sign_in import LOCAL, SignIns, proxied
from app.console.sync_runs import SyncRuns
from app.operations.audit import AuditLog
from app.operations.operator import Operator
from app.reload import Reload
from app.settings import Settings
from app.store.connection import Redis


class NotSignedIn(Exception):  # noqa: N818
    """The request carries no session that is valid."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the console's pages work with."""

    settings: Settings
    redis: Redis
    reload: Reload
    sign_ins: SignIns
    sessions: Sessions
    passwords: Passwords
    oidc: OidcSignIn
    audit: AuditLog
    jobs: Jobs
    live: Live
    revisions: Revisions
    rates: RecentRates
    sync_runs: SyncRuns

    @property
    def topology(self) -> Topology:
        """What is in use now."""
        return self.reload.running.topology


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one user. `operator` reaches only the destinations for which the user has the right."""

    parts: Parts
    user: str
    access: Access
    session: Session | None
    operator: Operator

    def may(self, right: Right | str, destination: str | None = None) -> bool:
        """Whether the user has a right, for one destination or for any."""
        right = Right(right)
        if destination is not None:
            return self.access.may(right, destination)
        return bool(self.access.among(right, self.parts.topology.destinations))

    @property
    def oversees(self) -> bool:
        """Whether the user administers all destinations, and so the console itself."""
        return self.access.everywhere(Right.ADMINISTER)

    @property
    def menu(self) -> tuple[tuple[Item, ...], ...]:
        """The pages that the user may open."""
        return menu(oversees=self.oversees)

    @property
    def destinations(self) -> Sequence[str]:
        """The destinations that the user may see."""
        return self.access.among(Right.SEE, self.parts.topology.destinations)

    async def note(self, act: str, *, destination: str = "", ids: Sequence[str] = (), **facts: str | int) -> None:
        """Write what the user does into the audit log. Raises StoreError."""
        await self.parts.audit.add(self.user, act, destination=destination, ids=ids, **facts)


class Needs:
    """A dependency: the visit of a user that has this right for at least one destination, or for all of them.

    Raises NotSignedIn and HTTPException 403.
    """

    def __init__(self, right: Right, *, everywhere: bool = False) -> None:
        self.right, self.everywhere = right, everywhere

    async def __call__(self, request: Request) -> Visit:
        """The visit of one request."""
        parts = parts_of(request)
        user, access, session = await who(request, parts)
        names = access.among(self.right, parts.topology.destinations)
        if not names or (self.everywhere and not access.everywhere(self.right)):
            raise HTTPException(403)
        operator = Operator(parts.settings, narrowed(parts.topology, names), parts.redis)  # type: ignore[arg-type]
        return Visit(parts, user, access, session, operator)


Seen = Annotated[Visit, Depends(Needs(Right.SEE))]
Operated = Annotated[Visit, Depends(Needs(Right.OPERATE))]
Revealed = Annotated[Visit, Depends(Needs(Right.REVEAL))]
Administered = Annotated[Visit, Depends(Needs(Right.ADMINISTER))]
Overseen = Annotated[Visit, Depends(Needs(Right.ADMINISTER, everywhere=True))]


async def who(request: Request, parts: Parts) -> tuple[str, Access, Session | None]:
    """The user of a request. Raises NotSignedIn."""
    sign_in = parts.sign_ins.now
    if sign_in.way == "none":
        return LOCAL, EVERYTHING, None
    if sign_in.way == "proxy" and sign_in.console is not None and sign_in.console.proxy is not None:
        client = request.client.host if request.client else None
        if found := proxied(sign_in.console.proxy, client, request.headers):
            user, groups = found
            return user, sign_in.access(user, groups, "proxy"), None
    session_id = request.cookies.get(cookie_name(request))
    session = await parts.sessions.find(session_id) if session_id else None
    if session is None:
        raise NotSignedIn
    if (proof := sign_in.proof(session.user, session.way)) and session.proof != proof:
        raise NotSignedIn  # the password was changed
    return session.user, sign_in.access(session.user, session.groups, session.way), session


def narrowed(topology: Topology, names: Sequence[str]) -> Topology:
    """The topology with these destinations, their sources and their syncs alone."""
    return topology.model_copy(
        update={
            "destinations": {name: topology.destinations[name] for name in names},
            "sources": {name: source for name, source in topology.sources.items() if source.destination in names},
            "syncs": {name: sync for name, sync in topology.syncs.items() if sync.destination in names},
        }
    )


def parts_of(request: Request) -> Parts:
    """The parts of the console that answers a request."""
    parts: Parts = request.app.state.parts
    return parts


def needs_https(request: Request) -> bool:
    """Whether the cookie must travel encrypted: everywhere but on this machine."""
    return host_of(request.headers) not in LOOPBACK


def cookie_name(request: Request, name: str = "session") -> str:
    """A name with the prefix that makes browsers insist on https, where that is needed."""
    return f"__Host-{name}" if needs_https(request) else f"console-{name}"
