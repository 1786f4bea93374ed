"""The names of the catalogue's e-commerce events, in the spellings that shops use.

Source: Segment's Ecommerce Spec v2, its v1 names, and the spellings that its own matcher accepts.
"""

import re
from functools import lru_cache
from typing import Final

_BETWEEN = re.compile(r"[\s_-]+")

ALIASES: Final = {
    "Viewed Product": "Product Viewed",
    "Clicked Product": "Product Clicked",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Viewed Product Category": "Product List Viewed",
    "Product Category Viewed": "Product List Viewed",
    "Viewed Product List": "Product List Viewed",
    "Viewed Promotion": "Promotion Viewed",
    "Clicked Promotion": "Promotion Clicked",
    "Viewed Cart": "Cart Viewed",
    "Started Order": "Checkout Started",
    "Started Checkout": "Checkout Started",
    "Entered Payment Info": "Payment Info Entered",
    "Completed Order": "Order Completed",
    "Updated Order": "Order Updated",
    "Refunded Order": "Order Refunded",
    "Order Canceled": "Order Cancelled",
    "Cancelled Order": "Order Cancelled",
    "Canceled Order": "Order Cancelled",
    "Entered Coupon": "Coupon Entered",
    "Searched Products": "Products Searched",
    "Added Product to Wishlist": "Product Added to Wishlist",
}


@lru_cache(maxsize=4096)
def normalised(name: str) -> str:
    """The name without case and word separators: "orderCompleted", "order_completed", "ORDER  COMPLETED"."""
    return _BETWEEN.sub("", name).casefold()


_CANONICAL: Final = {normalised(alias): name for alias, name in ALIASES.items()}


def canonical(name: str) -> str:
    """The catalogue's name for an event that has several. Other names stay as they are."""
    return _CANONICAL.get(normalised(name), name)
