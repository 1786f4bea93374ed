"""`attentive-gateway` on a machine whose clock is off: `python -m tests.faults.skewed SECONDS COMMAND …`."""

import sys
from datetime import UTC, datetime, timedelta

import time_machine

from app.cli import main

if __name__ == "__main__":
    off = timedelta(seconds=float(sys.argv.pop(1)))
    with time_machine.travel(datetime.now(UTC) + off, tick=True):
        main()
