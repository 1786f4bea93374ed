"""`attentive-gateway run` as a process of tests/forking.py, whose parts are forked as well."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from app import cli
from app.commands import run
from tests.forking import ForkedProcess, ForkServer
from tests.stack import COMMAND


def main() -> None:
    """The command, with the arguments of this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server's own parent may be deaf to it
    server = ForkServer.forked()

    def start_part(command: Sequence[str], *, log: Path) -> ForkedProcess:
        interpreter, _, module, *arguments = command
        assert (interpreter, module) == (sys.executable, "app.cli")
        return server.start(COMMAND, arguments, os.environ, out=log, err=log)

    vars(run)["start_child"] = start_part
    cli.main()
