"""What `destinations promote` refuses before it looks at anything."""

from typing import Any, Final, cast

import pytest

from app.config.topology import Topology
from app.delivery.recipients import Deliver
from app.operations.operator import BadRequest, Operator
from app.operations.promotion import plan_promotion

TESTERS: Final = {"deliver": "test_people", "test_people": ["tess@shop-a.example"]}


@pytest.mark.parametrize(
    ("name", "settings", "to", "why"),
    [
        pytest.param("acme", {}, None, "nothing to promote", id="it delivers to all"),
        pytest.param("acme", TESTERS, Deliver.TEST_PEOPLE, "delivers to test_people already", id="no change"),
        pytest.param("acme", {"deliver": "none"}, None, "has no test people", id="nobody to test with"),
        pytest.param("amce", {}, None, "no destination 'amce'", id="another name"),
    ],
)
async def test_a_promotion_that_changes_nothing_is_refused(
    name: str, settings: dict[str, Any], to: Deliver | None, why: str
) -> None:
    topology = Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "t", **settings}},
            "sources": {"shop": {"write_key": "k", "destination": "acme"}},
        }
    )
    nothing = cast(Any, None)  # neither settings nor Redis are asked
    with pytest.raises(BadRequest, match=why):
        await plan_promotion(Operator(nothing, topology, nothing), name, to)
