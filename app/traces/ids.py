"""New IDs for spans and traces, drawn by chance. They are no secrets."""

import random

from app.traces.context import TraceContext


def new_context() -> TraceContext:
    """The first span of a new trace."""
    return TraceContext(f"{random.getrandbits(128) or 1:032x}", f"{random.getrandbits(64) or 1:016x}")


def child_of(parent: TraceContext) -> TraceContext:
    """Another span of the trace."""
    return TraceContext(parent.trace_id, f"{random.getrandbits(64) or 1:016x}")
