"""`attentive-gateway` with a clock that is off by this many seconds: SECONDS COMMAND …"""

import sys
from datetime import UTC, datetime, timedelta

import time_machine

from app.cli import main as run


def main() -> None:
    """Run the command after the first argument."""
    off = timedelta(seconds=float(sys.argv.pop(1)))
    with time_machine.travel(datetime.now(UTC) + off, tick=True):
        run()
