"""One request to the modelled API, as received."""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs

import orjson

from app.sandbox.people import Identifier, identifiers_in


@dataclass(frozen=True)
class Call:
    """A request as received, before any check."""

    method: str
    path: str
    query_string: str
    authorization: bytes | None
    content_type: bytes
    body: bytes
    arrived_at: float  # Unix seconds, by the sandbox's clock
    host: str = "127.0.0.1"  # where the sandbox was reached, with its port

    @cached_property
    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one, the last."""
        return {name: values[-1] for name, values in parse_qs(self.query_string, keep_blank_values=True).items()}

    @cached_property
    def identifiers(self) -> list[Identifier]:
        """The people that the call seems to be about, for faults and error texts. The body need not be valid."""
        try:
            named = identifiers_in(orjson.loads(self.body)) if self.body else []
        except orjson.JSONDecodeError:
            named = []
        return named + identifiers_in(self.query)
