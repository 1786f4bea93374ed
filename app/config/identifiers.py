"""Which identifiers of a person are sent, and where in an event they are found."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app.config.values import EventPaths, Frozen, misplaced
from app.segment.paths import EventPath

IdentifierName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Identifiers(Frozen):
    """Paths are looked at in order, and the first usable value is taken. An empty list: it is never sent."""

    primary: Literal["any", "email", "phone"] = Field(
        "any", description="email or phone: what comes without it is not sent to this account"
    )
    email: EventPaths = Field(
        (EventPath("traits.email"),), description="where the e-mail address is, one path or a list"
    )
    phone: EventPaths = Field((EventPath("traits.phone"),), description="where the phone number is")
    client_user_id: EventPaths = Field(
        (EventPath("userId"),), description="where the shop's own id is (`clientUserId`)"
    )
    shopify_id: EventPaths = Field(
        (EventPath("traits.shopify_id"),), description="where Shopify's id is; identity, v2, subscribe"
    )
    klaviyo_id: EventPaths = Field(
        (EventPath("traits.klaviyo_id"),), description="where Klaviyo's id is; identity, v2, subscribe"
    )
    custom: dict[IdentifierName, EventPaths] = Field(
        {"username": (EventPath("traits.username"),)},
        description="Attentive's customIdentifiers: by name, where each is (a list of your own replaces the default)",
    )

    @model_validator(mode="after")
    def _check_that_somebody_can_pass(self) -> Self:
        if not (self.email or self.phone or self.client_user_id):
            raise ValueError("one of email, phone and client_user_id needs a path, or no event could pass")
        if self.primary != "any" and not getattr(self, self.primary):
            raise misplaced([(("primary",), f"is {self.primary}, which has no path")])
        return self
