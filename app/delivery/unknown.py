"""Calls of unknown outcome: sent, but no answer shows whether Attentive processed them. Neither done nor failed. Pure.

The causes are a timeout or disconnect after the request left, a server error, and a worker that died during a call.
A policy per endpoint decides what follows, because Attentive has no idempotency key.
"""

from enum import StrEnum
from typing import Final

from app.attentive.endpoints import Endpoint, Repeat
from app.counted import Resolution, Unresolved


class WhenUnknown(StrEnum):
    """What follows an unknown outcome."""

    SEND_AGAIN = "send_again"  # at least once: a possible duplicate
    VERIFY = "verify"  # Attentive is asked whether it processed the call; for subscribe and unsubscribe only
    REVIEW = "review"  # kept whole until an operator decides
    GIVE_UP = "give_up"  # at most once: neither sent again nor kept


SENT_BY_HAND: Final = "sent_by_hand"  # what followed when an operator had a call in review sent
UNKNOWN_ENDING: Final = {
    WhenUnknown.REVIEW: Unresolved(Resolution.REVIEW).field,
    WhenUnknown.GIVE_UP: Unresolved(Resolution.GIVEN_UP).field,
}


def default_policy(endpoint: Endpoint) -> WhenUnknown:
    """What follows if the settings have no policy. An unknown outcome never texts a person twice."""
    return WhenUnknown.VERIFY if endpoint.repeat is Repeat.TEXTED else WhenUnknown.SEND_AGAIN


def allowed_policies(endpoint: Endpoint) -> tuple[WhenUnknown, ...]:
    """The policies that the settings may name for this endpoint, the default first."""
    return (default_policy(endpoint), WhenUnknown.REVIEW, WhenUnknown.GIVE_UP)
