"""Which requests and attempts are traced, and how their spans are tied to those before them. Pure.

It is decided before any span exists. A public source cannot force it: everybody has its write key.
"""

from typing import Final

from app.traces.context import TraceContext, read_traceparent
from app.value import Value

# An attempt at an older call has a trace of its own. A call may be sent hours later, and would stretch the trace.
STORY_ENDS_MS: Final = 60_000


class Place(Value, frozen=True, gc=False):
    """Where a span belongs: below its parent, or in a trace of its own that links to the span which led to it."""

    context: TraceContext  # of the span itself
    parent: TraceContext | None = None
    link: TraceContext | None = None


def place_of_request(own: TraceContext, header: bytes | None, *, drawn: bool, trusted: bool) -> Place | None:
    """The place of the span of a request; None if it is not traced.

    `own` is a new context, `header` its `traceparent`, and `drawn` whether chance chose it. The sampled flag counts
    for a `trusted` source alone, whose trace is continued. What another sends is only linked, where chance chose the
    request.
    """
    caller = None if header is None else read_traceparent(header)
    if not drawn and not (caller is not None and caller.sampled and trusted):
        return None
    if caller is None:
        return Place(own)
    if trusted:
        return Place(own.within(caller.context), parent=caller.context)
    return Place(own, link=caller.context)


def place_of_attempt(own: TraceContext, traceparent: str, *, attempt: int, age_ms: int) -> Place:
    """The place of the span of an attempt at a call that carries this `traceparent`, or "" if it is not sampled.

    `own` is a new context.
    The first attempt at a fresh call is a part of the trace that published it. Every other one has a trace of its own.
    """
    found = read_traceparent(traceparent) if traceparent else None
    if found is None:
        return Place(own)
    if attempt == 1 and age_ms <= STORY_ENDS_MS:
        return Place(own.within(found.context), parent=found.context)
    return Place(own, link=found.context)
