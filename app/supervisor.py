"""Several gateway processes on one port, under uvicorn's own supervisor, with one thing different."""

import os
import signal

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.reload import terminal_is_gone


class Supervisor(Multiprocess):
    """Passes a SIGHUP on to its processes, which read their configuration again; uvicorn's would start new ones."""

    def handle_hup(self) -> None:
        """One came in."""
        if terminal_is_gone():
            self.should_exit.set()
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def supervise(config: uvicorn.Config) -> None:
    """Run `config.workers` processes until a signal ends them."""
    Supervisor(config, sockets=[config.bind_socket()]).run()
