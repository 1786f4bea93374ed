"""How a recorded call is printed."""

import orjson
from rich.json import JSON

from app.commands.common import out
from app.delivery.journal.recorded_call import RecordedCall


def print_call(call: RecordedCall) -> None:
    """The request and the answer of one attempt, masked."""
    answer = f"{call.status}" if call.status is not None else call.unreachable
    out.print(
        f"\nAttempt {call.attempt}, {call.at:%Y-%m-%d %H:%M:%S} UTC: {call.method} {call.path} -> {answer}, "
        f"{call.took_ms:g} ms",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    out.print(JSON(orjson.dumps(call.request).decode()))
    headers = {"limit": call.limit, "remaining": call.remaining, "retry after": call.retry_after_s}
    known = ", ".join(f"{name} {value:g}" for name, value in headers.items() if value is not None)
    for text in filter(None, (known, call.answer)):
        out.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)
