"""What a tracker is told when a request is refused: JSON that every published client survives.

Source: the clients' own code. A body without string `code` and `message` makes some of them send a refused batch again.
"""

from collections.abc import Iterable
from typing import Final

import orjson

SUCCESS: Final = b'{"success": true}'


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """A request that is not taken. `field` is the dotted path of what to mend, where one is at fault."""

    def __init__(
        self, status: int, code: str, message: str, *, field: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """`retry_after_s`, whole seconds of at least 1, asks the tracker to send the same again."""
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.retry_after_s = retry_after_s

    def content(self) -> dict[str, object]:
        """The answer, JSON-ready."""
        answer: dict[str, object] = {
            "success": False,
            "code": self.code,
            "message": self.message,
            "error": self.message,
        }
        if self.field is not None:
            answer["field"] = self.field
        return answer

    def body(self) -> bytes:
        """The JSON answer."""
        return orjson.dumps(self.content())


def accepted_body(accepted: int, refused: Iterable[tuple[int, Refused]]) -> bytes:
    """The answer to a batch of which some events were refused: which, and why."""
    return orjson.dumps(
        {
            "success": True,
            "accepted": accepted,
            "refused": [
                {"index": index, "code": why.code, "field": why.field, "message": why.message} for index, why in refused
            ],
        }
    )
