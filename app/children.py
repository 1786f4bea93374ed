"""Child processes that never outlive us: stopped in order on the way out, and by the kernel if we are killed."""

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
    """Start `command` in a session of its own, so that Ctrl-C reaches us alone and we decide who stops first.

    Its output goes to the end of `log`, or nowhere. `environment` replaces ours.
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
    """SIGTERM, then SIGKILL when that is not heard; the exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the command: ask Linux for a SIGTERM when its parent is gone."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
