"""`attentive-gateway destinations test`: whether each account's token works, whose it is, and which scopes it has."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import orjson
import typer
from rich import box
from rich.table import Table

from app import __version__
from app.attentive.client import AttentiveClient, Reply, Unreachable
from app.attentive.endpoints import ELIGIBILITY, PRIVACY_DELETE, SUBSCRIBE, UNSUBSCRIBE
from app.attentive.token import PROBES, Held, held, owner, works
from app.commands.common import NOT_TOLD, fail, join_local_run, out
from app.config.destination import Destination
from app.delivery.unknown import WhenUnknown, default_policy
from app.masking import mask_text
from app.settings import load_settings
from app.topology import plan_of

DestinationName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="this destination; else all")]
_DELETION_STATUS: Final = "privacy_requests:read"


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of one destination's token. `needs`: the scopes that its settings make use of, and what for."""

    works: bool
    said: str
    needs: Mapping[str, Sequence[str]]
    scopes: Mapping[str, Held] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether nothing is known that would stop a call."""
        return self.works and not any(self.scopes.get(scope) is Held.NO for scope in self.needs)


def ask_whose_tokens(
    name: DestinationName = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object per destination")] = False,
) -> None:
    """Ask Attentive whose token each destination has, and which scopes it has. Nobody is written to.

    Scopes are seen by calls that name nobody and say nothing: they change nothing, and are refused one way or another.

    Exit status 1: a token does not work, or lacks a scope that the destination needs.
    """
    join_local_run()
    if os.environ.get("ATTENTIVE_API_TOKEN") == NOT_TOLD:
        fail("the gateway that runs here tells its token to nobody: set ATTENTIVE_API_TOKEN in this terminal too", 2)
    destinations = load_settings().topology().destinations
    if name is not None and name not in destinations:
        fail(f"there is no destination {name!r}; there are: {', '.join(destinations)}", 2)
    good = True
    for one in [name] if name is not None else destinations:
        tested = asyncio.run(_tested(destinations[one]))
        good = good and tested.good
        if as_json:
            out.out(orjson.dumps(_facts(one, tested)).decode(), highlight=False)
        else:
            _print(one, tested)
    if not good:
        raise typer.Exit(1)


def say_whose_tokens(destinations: Mapping[str, Destination]) -> None:
    """One line for each destination: whether its token works, and whose it is."""
    for name, destination in destinations.items():
        _print(name, asyncio.run(_tested(destination, scopes=False)))


async def _tested(destination: Destination, *, scopes: bool = True) -> Findings:
    needs = needed_scopes(destination)
    token = destination.api_token.get_secret_value()
    client = AttentiveClient(destination.base_url, token, user_agent=f"attentive-gateway/{__version__}")
    try:
        reply = await client.who_am_i()
        if not works(reply):
            return Findings(False, _why_not(reply), needs)
        said = f"the token belongs to {owner(reply)}"
        if not scopes:
            return Findings(True, said, needs)
        replies = await asyncio.gather(*(client.probe(each.method, each.path, each.body) for each in PROBES.values()))
        found = {scope: held(probe, got) for (scope, probe), got in zip(PROBES.items(), replies, strict=True)}
        return Findings(True, said, needs, found)
    finally:
        await client.close()


def _why_not(reply: Reply | Unreachable) -> str:
    if isinstance(reply, Unreachable):
        return reply.reason
    return f"Attentive answered {reply.status}: {mask_text(reply.body[:200].decode(errors='replace'))}"


def needed_scopes(destination: Destination) -> dict[str, list[str]]:
    """The scopes that this destination's settings make use of, each with what for."""
    needs: dict[str, list[str]] = {}
    for scopes, purpose in _uses(destination):
        for scope in scopes.split():
            purposes = needs.setdefault(scope, [])
            if purpose not in purposes:
                purposes.append(purpose)
    return needs


def _uses(destination: Destination) -> Iterator[tuple[str, str]]:
    """Scopes, separated by blanks, and what needs them."""
    plan = plan_of(destination)
    for rule in plan.catalogue.rules:
        yield rule.endpoint.scope, rule.endpoint.name
    for subscription in plan.subscriptions.rules:
        endpoint = SUBSCRIBE if subscription.opt_in else UNSUBSCRIBE
        yield endpoint.scope, endpoint.name
        policy = destination.unknown_outcomes.get(endpoint.name) or default_policy(endpoint)
        if subscription.ask_first or policy is WhenUnknown.CHECK:
            yield ELIGIBILITY.scope, f"to ask before a {endpoint.name} call"
    if destination.deletion.unsubscribe:
        yield UNSUBSCRIBE.scope, "deletion"
    if destination.deletion.request:
        yield f"{PRIVACY_DELETE.scope} {_DELETION_STATUS}", "deletion"


def _facts(name: str, tested: Findings) -> dict[str, Any]:
    return {
        "destination": name,
        "works": tested.works,
        "said": tested.said,
        "scopes": [
            {"scope": scope, "found": tested.scopes.get(scope, Held.UNKNOWN), "needed_for": tested.needs.get(scope, [])}
            for scope in PROBES
        ],
    }


def _print(name: str, tested: Findings) -> None:
    verdict = "works" if tested.works else "does not work"
    style = None if tested.works else "red"
    out.print(f"{name}: {verdict}, {tested.said}", style=style, markup=False, highlight=False, soft_wrap=True)
    if not tested.scopes:
        return
    table = Table("Scope", "Has it", "Needed for", box=box.SIMPLE_HEAD, pad_edge=False)
    for scope, found in tested.scopes.items():
        needed = tested.needs.get(scope)
        style = "red" if needed and found is Held.NO else None if needed else "dim"
        table.add_row(scope, found, ", ".join(needed or ()) or "-", style=style)
    out.print(table)
