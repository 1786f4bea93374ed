"""Where and when: without it a figure says nothing."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from app.embedded import find_redis


def machine() -> str:
    """Processor, versions, date, and how quiet the machine was before."""
    now = datetime.now(UTC)
    return (
        f"{_processor()}, {os.cpu_count()} cores · Python {platform.python_version()} · {find_redis()} · "
        f"{now:%Y-%m-%d %H:%M} UTC · load before: {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
