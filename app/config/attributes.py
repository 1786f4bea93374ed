"""How traits of an identify call that are not identifiers are handled."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.config.values import Frozen

AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
AttributeType = Literal["number", "boolean", "date", "string"]


class Attributes(Frozen):
    """How traits become Attentive's attributes; see docs/attributes.md."""

    endpoint: Literal["v2", "v1", "off"] = Field(
        "v2", description="v2 user attributes (named fields and custom ones), v1 custom attributes, or none at all"
    )
    lists: Literal["join", "drop"] = Field(
        "join", description="lists of scalars: sent as text with commas, or left out"
    )
    precise_location: bool = Field(
        False, description="whether latitude and longitude, which are sensitive data, are sent"
    )
    most_names: Annotated[int, Field(ge=1)] | None = Field(
        100,
        description="maximum number of custom attribute names in the account; further ones are left out. "
        "null: no limit",
    )
    warn_at_names: Annotated[int, Field(ge=1)] = Field(
        80, description="number of names from which on a warning is logged"
    )
    types: dict[AttributeName, AttributeType] = Field(
        {},
        description="types of attributes in the account, by name: number, boolean, date or string",
    )
