"""What becomes of the traits of an identify call that are no identifiers."""

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
    lists: Literal["join", "drop"] = Field("join", description="lists of scalars: as text with commas, or left out")
    precise_location: bool = Field(
        False, description="whether latitude and longitude, which are sensitive data, are sent"
    )
    most_names: Annotated[int, Field(ge=1)] | None = Field(
        100, description="different custom attributes of all people together; more are left out. null: they are sent"
    )
    warn_at_names: Annotated[int, Field(ge=1)] = Field(80, description="as many of them are worth a warning in the log")
    types: dict[AttributeName, AttributeType] = Field(
        {},
        description="types that attributes have in the account: number, boolean, date or string, by name",
    )
