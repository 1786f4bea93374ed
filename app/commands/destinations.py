"""`attentive-gateway destinations`: how each Attentive account is, whether its token works, and ending a hold."""

import asyncio
from typing import Annotated

import orjson
import typer
from rich.table import Table

from app import __version__
from app.attentive.client import AttentiveClient, Reply
from app.commands.common import Operator, fail, out, with_redis
from app.delivery.backlog import lane_depths
from app.delivery.books import read_books
from app.delivery.keys import DestinationKeys
from app.masking import mask_text
from app.settings import load_settings
from app.topology import all_lanes

commands = typer.Typer(no_args_is_help=True, help="Look after the Attentive accounts that events go to.")

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="this destination; else all")]


@commands.command("list")
def list_destinations() -> None:
    """Show what waits for each destination, and what is held and why."""

    async def work(operator: Operator) -> Table:
        table = Table("Destination", "Received", "Delivered", "Dead letters", "Calls waiting", "Held")
        depths = await lane_depths(operator.redis, all_lanes(operator.topology))
        for books in await read_books(operator.redis, operator.destinations):
            lanes = [depth for depth in depths if depth.lane.destination == books.destination]
            holds = [("all of it", await operator.redis.get(DestinationKeys(books.destination).hold))]
            holds += [(depth.lane.endpoint, await operator.redis.get(depth.lane.keys.hold)) for depth in lanes]
            table.add_row(
                books.destination,
                f"{books.received:,}",
                f"{books.delivered:,}",
                f"{sum(books.dead.values()):,}",
                f"{sum(depth.total for depth in lanes):,}",
                "\n".join(f"{what}: {why.decode()}" for what, why in holds if why) or "-",
            )
        return table

    out.print(with_redis(work))


@commands.command("test")
def ask_whose_token(name: Name = None) -> None:
    """Ask Attentive whose token each destination has. Nothing is changed and nobody is written to."""
    topology = load_settings().topology()
    wanted = [name] if name is not None else list(topology.destinations)
    if name is not None and name not in topology.destinations:
        fail(f"there is no destination {name!r}; there are: {', '.join(topology.destinations)}", 2)

    async def ask(one: str) -> tuple[bool, str]:
        destination = topology.destinations[one]
        client = AttentiveClient(
            destination.base_url,
            destination.api_token.get_secret_value(),
            user_agent=f"attentive-gateway/{__version__}",
        )
        try:
            reply = await client.who_am_i()
        finally:
            await client.close()
        if not isinstance(reply, Reply):
            return False, reply.reason
        if not 200 <= reply.status < 300:
            return False, f"Attentive answered {reply.status}: {mask_text(reply.body[:200].decode(errors='replace'))}"
        try:
            company = orjson.loads(reply.body).get("companyName", "an unnamed company")
        except (orjson.JSONDecodeError, AttributeError):
            company = "an answer that cannot be read"
        return True, f"the token belongs to {company}"

    good = True
    for one in wanted:
        works, said = asyncio.run(ask(one))
        good = good and works
        out.print(f"{one}: {'works' if works else 'does not work'}, {said}", markup=False, highlight=False)
    if not good:
        raise typer.Exit(1)


@commands.command("resume")
def resume(name: Name = None) -> None:
    """End all holds of a destination and its endpoints now."""

    async def work(operator: Operator) -> int:
        if name is not None and name not in operator.destinations:
            fail(f"there is no destination {name!r}; there are: {', '.join(operator.destinations)}", 2)
        keys = [DestinationKeys(one).hold for one in operator.destinations if name in (None, one)]
        lanes = all_lanes(operator.topology)
        keys += [lane.keys.hold for lane in lanes if name in (None, lane.destination)]
        return sum([await operator.redis.delete(key) for key in keys])

    ended = with_redis(work)
    out.print(f"{ended} holds ended" if ended else "Nothing was held.")
