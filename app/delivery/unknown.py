"""Calls of unknown outcome: sent, and then no answer that says whether Attentive acted. Neither done nor failed. Pure.

That is a time-out or a cut after the request left, a server's error, and what was under way when its worker died. What
follows is a policy per endpoint, for Attentive has no idempotency key.
"""

from enum import StrEnum
from typing import Final

from app.attentive.endpoints import Endpoint, Repeat


class WhenUnknown(StrEnum):
    """What follows an unknown outcome."""

    SEND_AGAIN = "send_again"  # at least once: a possible duplicate
    CHECK = "check"  # Attentive is asked whether it has acted; for subscribe and unsubscribe alone
    HOLD = "hold"  # kept whole until an operator decides
    GIVE_UP = "give_up"  # at most once: neither sent again nor kept


SENT_BY_HAND: Final = "sent_by_hand"  # what followed, when an operator had one sent that was held
UNKNOWN_ENDING: Final = {WhenUnknown.HOLD: "unknown:held", WhenUnknown.GIVE_UP: "unknown:given_up"}


def counted(endpoint: str, then: str) -> str:
    """The field of the books that counts unknown outcomes of an endpoint's calls by what followed."""
    return f"unknown_calls:{endpoint}:{then}"


def default_policy(endpoint: Endpoint) -> WhenUnknown:
    """What follows where the settings say nothing: nobody is texted twice for our doubt's sake."""
    return WhenUnknown.CHECK if endpoint.repeat is Repeat.TEXTED else WhenUnknown.SEND_AGAIN


def allowed_policies(endpoint: Endpoint) -> tuple[WhenUnknown, ...]:
    """What the settings may say of this endpoint, the default first."""
    return (default_policy(endpoint), WhenUnknown.HOLD, WhenUnknown.GIVE_UP)
