"""Testing a destination's token: whether it works, whose it is, and which scopes it has. Nothing is written."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app import __version__
from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import ELIGIBILITY, PRIVACY_DELETE, SEGMENT_MEMBERS, SEGMENTS_READ, SUBSCRIBE, UNSUBSCRIBE
from app.attentive.token import PROBES, Held, held, owner, works
from app.config.destination import Destination
from app.config.sync import Sync
from app.delivery.accounts.token_app import note_app
from app.delivery.accounts.token_state import TokenReport, note_token
from app.delivery.hold import end_hold, read_hold
from app.delivery.unknown import WhenUnknown, default_policy
from app.masking import mask_text
from app.operations.operator import Operator
from app.pipeline import Plan
from app.wiring.gateway import plan_of, plan_of_rows

_ERASURE_STATUS: Final = "privacy_requests:read"


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of one token. `needs`: the scopes that the destination's settings use, each with its purposes."""

    works: bool
    summary: str  # whose token it is, or why it does not work
    needs: Mapping[str, Sequence[str]]
    scopes: Mapping[str, Held] = field(default_factory=dict)
    reply: Reply | Unreachable | None = field(default=None, repr=False)  # to `/v1/me`

    @property
    def good(self) -> bool:
        """Whether nothing is known that would stop a call."""
        return self.works and not any(self.scopes.get(scope) is Held.NO for scope in self.needs)


async def check_token(
    destination: Destination, syncs: Mapping[str, Sync] | None = None, *, scopes: bool = True
) -> Findings:
    """Ask Attentive about a destination's token, which its `syncs` need too."""
    from app.attentive.client import AttentiveClient  # 10 MB that a console does without until a token is tested

    needs = needed_scopes(destination, syncs)
    token = destination.api_token.get_secret_value()
    client = AttentiveClient(destination.base_url, token, user_agent=f"attentive-gateway/{__version__}")
    try:
        reply = await client.who_am_i()
        if not works(reply):
            return Findings(False, _why_not(reply, destination.base_url), needs, reply=reply)
        summary = f"the token belongs to {owner(reply)}"
        if not scopes:
            return Findings(True, summary, needs, reply=reply)
        replies = await asyncio.gather(*(client.probe(each.method, each.path, each.body) for each in PROBES.values()))
        found = {scope: held(probe, got) for (scope, probe), got in zip(PROBES.items(), replies, strict=True)}
        return Findings(True, summary, needs, found, reply)
    finally:
        await client.close()


async def note_findings(operator: Operator, destination: str, findings: Findings) -> TokenReport | None:
    """Share with workers and other commands what was found. A token that works ends the hold of a refused one."""
    if findings.reply is None:
        return None
    hold = await read_hold(operator.redis, destination)
    if findings.works and hold is not None and not hold.needs_decision:
        await end_hold(operator.redis, destination)
    report = await note_token(operator.redis, destination, findings.reply)
    await note_app(operator.redis, destination, findings.reply)
    return report


def _why_not(reply: Reply | Unreachable, base_url: str) -> str:
    if isinstance(reply, Unreachable):
        return f"{reply.reason} ({base_url})"
    return f"Attentive answered {reply.status}: {mask_text(reply.body[:200].decode(errors='replace'))}"


def needed_scopes(destination: Destination, syncs: Mapping[str, Sync] | None = None) -> dict[str, list[str]]:
    """The scopes that this destination's settings and syncs make use of, each with what for. `syncs` are its own."""
    needs: dict[str, list[str]] = {}
    for scopes, purpose in (*_uses(destination), *_uses_of_rows(destination, syncs or {})):
        for scope in scopes.split():
            purposes = needs.setdefault(scope, [])
            if purpose not in purposes:
                purposes.append(purpose)
    return needs


def _uses(destination: Destination) -> Iterator[tuple[str, str]]:
    """Scopes, separated by blanks, and what needs them."""
    yield from _uses_of_plan(destination, plan_of(destination))
    if destination.erasure.unsubscribe:
        yield UNSUBSCRIBE.scope, "erasure"
    if destination.erasure.request:
        yield f"{PRIVACY_DELETE.scope} {_ERASURE_STATUS}", "erasure"


def _uses_of_plan(destination: Destination, plan: Plan) -> Iterator[tuple[str, str]]:
    for rule in plan.catalogue.rules:
        yield rule.endpoint.scope, rule.endpoint.name
    for subscription in plan.subscriptions.rules:
        endpoint = SUBSCRIBE if subscription.opt_in else UNSUBSCRIBE
        yield endpoint.scope, endpoint.name
        policy = destination.unknown_outcomes.get(endpoint.name) or default_policy(endpoint)
        if subscription.verify_first or policy is WhenUnknown.VERIFY:
            yield ELIGIBILITY.scope, f"to check before a {endpoint.name} call"


def _uses_of_rows(destination: Destination, syncs: Mapping[str, Sync]) -> Iterator[tuple[str, str]]:
    for name, sync in syncs.items():
        for scopes, _ in _uses_of_plan(destination, plan_of_rows(destination, sync)):
            yield scopes, f"sync {name}"
        if sync.object == "audience":
            yield f"{SEGMENT_MEMBERS.scope} {SEGMENTS_READ}", f"sync {name}"
