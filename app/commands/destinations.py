"""`attentive-gateway destinations`: how each Attentive account is, whether its token works, and ending a hold."""

import typer
from rich.table import Table

from app.commands import tokens
from app.commands.common import Operator, fail, out, with_redis
from app.commands.tokens import DestinationName
from app.delivery.backlog import lane_depths
from app.delivery.books import read_books
from app.delivery.keys import DestinationKeys
from app.topology import all_lanes

commands = typer.Typer(no_args_is_help=True, help="Look after the Attentive accounts that events go to.")
commands.command("test")(tokens.ask_whose_tokens)


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


@commands.command("resume")
def resume(name: DestinationName = None) -> None:
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
