"""The place of a span in its trace, and its form in headers and in stored calls: W3C's `traceparent`. Pure."""

import re
from typing import Final

from app.value import Value

_SAMPLED: Final = 1  # a bit of the flags
_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID_VERSION: Final = "ff"
_CURRENT_VERSION: Final = "00"
_HEADER_BYTES: Final = 512  # a later version may append fields


class TraceContext(Value, frozen=True, gc=False):
    """One span of one trace. Both IDs are lower-case hexadecimal."""

    trace_id: str  # 32 digits
    span_id: str  # 16 digits

    @property
    def traceparent(self) -> str:
        """The form in which stored calls carry it, 55 characters. Only sampled spans are stored."""
        return f"{_CURRENT_VERSION}-{self.trace_id}-{self.span_id}-01"

    def within(self, trace: "TraceContext") -> "TraceContext":
        """The span with this one's ID in the trace of another."""
        return TraceContext(trace.trace_id, self.span_id)


class Traceparent(Value, frozen=True, gc=False):
    """What a `traceparent` states: the caller's span, and whether the caller records it."""

    context: TraceContext
    sampled: bool


def read_traceparent(header: bytes | str) -> Traceparent | None:
    """The content of a `traceparent`. None if it is not valid: then it is treated as absent, as W3C demands."""
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    found = _FORM.fullmatch(text.strip()) if len(text) <= _HEADER_BYTES else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _INVALID_VERSION or (version == _CURRENT_VERSION and more) or not _is_set(trace_id, span_id):
        return None
    return Traceparent(TraceContext(trace_id, span_id), bool(int(flags, 16) & _SAMPLED))


def _is_set(*ids: str) -> bool:
    return all(id_.strip("0") for id_ in ids)
