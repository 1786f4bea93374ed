"""Event names that nearly match the catalogue: probably misspelt, so not a mistake but worth a warning."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from app.config.destination import Destination
from app.mapping.catalogue import CATALOGUE
from app.mapping.names import ALIASES, normalised

_ALIKE: Final = 0.88  # of 1: one or two letters in a name of two words
# Source: Segment's Ecommerce Spec v2. These events are real, although their names are similar.
_OTHERS: Final = (
    *("Product Reviewed", "Product Shared", "Cart Shared", "Product List Filtered", "Coupon Applied", "Coupon Denied"),
    *("Coupon Removed", "Checkout Step Viewed", "Checkout Step Completed", "Product Removed from Wishlist"),
    "Wishlist Product Added to Cart",
)
_KNOWN: Final = {
    normalised(name): name for name in (*ALIASES, *(rule.event for rule in CATALOGUE if rule.event is not None))
}
_DISTINCT: Final = frozenset(map(normalised, _OTHERS)) | _KNOWN.keys()

Place = tuple[str | int, ...]


def near_misses(destination: Destination) -> Iterator[tuple[Place, str]]:
    """Each name that nearly matches the catalogue: its place below the destination, and the probable name."""
    for name in destination.mapping.events:
        if meant := meant_by(name):
            yield ("mapping", "events", name), meant
    for kind in ("opt_in", "opt_out"):
        for number, rule in enumerate(getattr(destination.subscriptions, kind)):
            if rule.event is not None and (meant := meant_by(rule.event)):
                yield ("subscriptions", kind, number, "event"), meant


def meant_by(name: str) -> str | None:
    """The catalogue's name that this one nearly matches. None for the catalogue's own names, and for other events."""
    written = normalised(name)
    if written in _DISTINCT:
        return None
    close = get_close_matches(written, _KNOWN, n=1, cutoff=_ALIKE)
    return _KNOWN[close[0]] if close else None
