"""`attentive-gateway console`: the web pages for operators. `users hash` makes the password hashes of its users."""

import sys
from typing import Annotated

import structlog
import typer

from app.commands.common import fail, join_local_run, out
from app.logs import set_up_logging
from app.process import ignore_sighup
from app.settings import load_settings

log = structlog.get_logger()
users = typer.Typer(no_args_is_help=True, help="Manage the users of the console.")


def console(
    host: Annotated[str | None, typer.Option(help="Address to listen on [GATEWAY_CONSOLE_HOST].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on [GATEWAY_CONSOLE_PORT].")
    ] = None,
) -> None:
    """Serve the console: web pages on which operators see what happens and act. Needs Redis and nothing else.

    Users sign in as `console` in GATEWAY_CONFIG describes, or with GATEWAY_CONSOLE_PASSWORD. Without either, the
    console listens on a loopback address only. See docs/console.md.
    """
    from app.console.app import serve_console  # its imports are not needed by `users`

    ignore_sighup()
    join_local_run()
    ours = load_settings()
    set_up_logging(ours.log_level, ours.log_format, component="console")
    listen, on = host or ours.console_host, ours.console_port if port is None else port
    log.info("console.starting", address=f"{listen}:{on}")
    serve_console(ours, listen, on)


@users.callback()
def look_after_users() -> None:
    """Manage the users of the console."""


@users.command("hash")
def hash_of_password() -> None:
    """Read a password, and print its hash for `password_hash` of a user in GATEWAY_CONFIG.

    The password is asked for on a terminal, else it is the first line of standard input.
    """
    from app.console.passwords import hash_password

    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < 12:
        fail("The password is too short. Use at least 12 characters.", 2)
    hashed = hash_password(password)
    out.out(hashed, highlight=False)
