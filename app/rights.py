"""What a source may do, by how far it can be trusted. Pure.

The write key of a web page or an app is public: anyone who reads it can send events about any person. A public source
may describe its own visitors, and can do nothing irreversible to other people. A server keeps its key secret, and a
signed webhook proves its sender.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Trust(StrEnum):
    """Who can send events as this source."""

    PUBLIC = "public"  # everyone: its write key is in a web page or an app
    SERVER = "server"  # only servers that keep its write key secret
    SIGNED = "signed"  # only a sender with a valid signature, see `signing`


@dataclass(frozen=True, slots=True)
class Rights:
    """What the events of one source may do. The defaults are those of a trusted source."""

    complete: Literal["visitor", "source"] = "source"  # which events its identify calls complete
    alias: Literal["none", "anonymous", "any"] = "any"  # which IDs an alias call may name as the previous one
    merge: bool = True  # whether an event may link identifiers of two known people
    consent: Literal["none", "named", "any"] = "any"  # the opt-in and opt-out rules that its events trigger
    define_attributes: bool = True  # whether the first value that it sends defines an attribute's type for all sources
    erase: bool = True  # whether it may request erasures, and whether erasures follow the links that it made


# Appended to a custom attribute's stored type if a source without `define_attributes` sent the first value.
PROVISIONAL: Final = "?"

PUBLIC: Final = Rights(
    complete="visitor", alias="anonymous", merge=False, consent="named", define_attributes=False, erase=False
)
TRUSTED: Final = Rights()


def rights_of(trust: Trust) -> Rights:
    """The default rights of a source."""
    return PUBLIC if trust is Trust.PUBLIC else TRUSTED
