"""How a benchmark ends that cannot give a figure: with one readable line."""

import functools
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

from app.embedded import NoRedis

P = ParamSpec("P")
_STOPPED: Final = 130  # the exit status of a command that Ctrl-C ended


class BenchmarkFailed(Exception):  # noqa: N818 - the text says what went wrong
    """No figure can be given; the text says why in one line."""


def ends_with_a_line(main: Callable[P, int]) -> Callable[P, int]:
    """The command prints why it failed in one line, and returns its exit status: 1 if it failed, 130 after Ctrl-C."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except (BenchmarkFailed, NoRedis) as failure:
            print(f"benchmark failed: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return _STOPPED

    return run
