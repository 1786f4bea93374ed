"""What follows when it is unknown whether Attentive processed a call, for each endpoint of the YAML file."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from app.attentive.endpoints import BY_NAME
from app.config.endpoints import EndpointName
from app.config.values import misplaced, nearest
from app.delivery.unknown import WhenUnknown, allowed_policies


def _known(given: Any) -> WhenUnknown:
    try:
        return WhenUnknown(given)
    except ValueError:
        raise ValueError(f"is not a policy; {nearest(given, WhenUnknown)}") from None


def _allowed(policies: Mapping[str, WhenUnknown]) -> Mapping[str, WhenUnknown]:
    mistakes = [
        ((name,), f"must be one of {', '.join(allowed)}: a repeated call {BY_NAME[name].repeat}")
        for name, policy in policies.items()
        if policy not in (allowed := allowed_policies(BY_NAME[name]))
    ]
    if mistakes:
        raise misplaced(mistakes)
    return policies


UnknownOutcomes = Annotated[
    dict[EndpointName, Annotated[WhenUnknown, BeforeValidator(_known)]],
    AfterValidator(_allowed),
]
