"""Child processes that never outlive their parent: stopped in order, or by the kernel if the parent is killed."""

# Its fork hooks are registered at import. If another thread registered them, by its first use of an executor, while a
# child is forked here, the fork would fail with "release unlocked lock".
import concurrent.futures.thread  # noqa: F401
import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_STOP_WITHIN_S: Final = 12.0


def start_child(
    command: Sequence[str], *, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start `command` in its own session, so that Ctrl-C reaches only the parent, which decides the order of stopping.

    Its output is appended to `log`, or discarded. `environment` replaces the parent's.
    """
    with (log or Path("/dev/null")).open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own commands
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )


def stop_child(child: "subprocess.Popen[bytes]", within_s: float = _STOP_WITHIN_S) -> int:
    """SIGTERM, then SIGKILL if it does not exit. Returns the exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def _die_with_parent() -> Callable[[], None] | None:
    """What the child runs before the command: it asks Linux for a SIGTERM when its parent exits."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
