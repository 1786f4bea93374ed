"""The response to a refused request: JSON that every published client can handle.

Source: the clients' own code. Without string `code` and `message` in the body, some of them retry a refused batch.
"""

from collections.abc import Iterable

import orjson


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """A request that is not accepted. `field` is the dotted path of the field to correct, if one is at fault."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        source: str = "",
    ) -> None:
        """`retry_after_s`, in whole seconds from 1, asks the tracker to retry the request.

        `source` is the sender, once it is known.
        """
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.retry_after_s = retry_after_s
        self.source = source

    def content(self) -> dict[str, object]:
        """The response as a JSON-ready value."""
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
        """The response as JSON."""
        return orjson.dumps(self.content())


def accepted_body(accepted: int, refused: Iterable[tuple[int, Refused]]) -> bytes:
    """The response to a batch with some refused events: which were refused, and why."""
    return orjson.dumps(
        {
            "success": True,
            "accepted": accepted,
            "refused": [
                {"index": index, "code": why.code, "field": why.field, "message": why.message} for index, why in refused
            ],
        }
    )
