"""Names that are nearly the catalogue's are pointed out with their line; names of other events are not."""

from pathlib import Path

import pytest

from app.config.near_misses import meant_by
from app.config.topology import load_file


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("Prodct Viewed", "Product Viewed", id="a letter that is missing"),
        pytest.param("order_compelted", "Order Completed", id="two letters that changed places"),
        pytest.param("Product Veiwed", "Product Viewed", id="in the second word"),
        pytest.param("Add to Wishlist Product Added to Wishlist!", None, id="far too much"),
        pytest.param("Completd Order", "Completed Order", id="another name of an event"),
        pytest.param("Product Viewed", None, id="the catalogue's own name"),
        pytest.param("productViewed", None, id="the catalogue's own name in another spelling"),
        pytest.param("Product Reviewed", None, id="an event of the Spec that looks like it"),
        pytest.param("Order Shipped", None, id="an event of the shop's own"),
        pytest.param("Order Created", None, id="an event that ends alike"),
        pytest.param("Quiz Finished", None, id="something else"),
    ],
)
def test_what_was_meant(name: str, meant: str | None) -> None:
    assert meant_by(name) == meant


def test_the_line_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("""\
destinations:
  acme:
    api_token: x
    mapping:
      events:
        Quiz Finished: {}
        Prodct Viewed: {send: false}
    subscriptions:
      opt_out:
        - {event: Order Cancled}
sources:
  web: {write_key: y, destination: acme}
""")
    assert [(warning.line, str(warning)) for warning in load_file(file).warnings] == [
        (7, 'destinations.acme.mapping.events.Prodct Viewed: is a new event. Did you mean "Product Viewed"?'),
        (10, 'destinations.acme.subscriptions.opt_out.0.event: is a new event. Did you mean "Order Canceled"?'),
    ]
