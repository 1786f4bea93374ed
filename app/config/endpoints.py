"""The name of an endpoint, as keys of the YAML file."""

from typing import Annotated

from pydantic import AfterValidator

from app.attentive.endpoints import BY_NAME
from app.config.values import unknown_key


def _endpoint(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(unknown_key(name, BY_NAME))
    return name


EndpointName = Annotated[str, AfterValidator(_endpoint)]
