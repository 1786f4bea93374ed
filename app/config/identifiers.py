"""Which identifiers of a person are sent, and where in an event they are."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app.config.attributes import AttributeName
from app.config.values import EventPaths, Frozen, Region, misplaced
from app.segment.paths import EventPath

IdentifierName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Placeholder = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Identifiers(Frozen):
    """Paths are read in order, and the first usable value is sent. With an empty list, the identifier is never sent."""

    primary: Literal["any", "email", "phone"] = Field(
        "any", description="email or phone: an event without it is not sent to this account"
    )
    secondary_attribute: AttributeName | None = Field(
        None,
        description="with `primary`: the custom attribute for the other contact, which then is not an identifier. "
        "Consent calls still name it",
    )
    email: EventPaths = Field((EventPath("traits.email"),), description="path, or list of paths, of the e-mail address")
    phone: EventPaths = Field((EventPath("traits.phone"),), description="path of the phone number")
    client_user_id: EventPaths = Field((EventPath("userId"),), description="path of the shop's own ID (`clientUserId`)")
    shopify_id: EventPaths = Field(
        (EventPath("traits.shopify_id"), EventPath("externalId.shopifyId")),
        description="path of the Shopify ID; sent by identity links, v2 attributes and opt-ins",
    )
    klaviyo_id: EventPaths = Field(
        (EventPath("traits.klaviyo_id"), EventPath("externalId.klaviyoId")),
        description="path of the Klaviyo ID; sent by identity links, v2 attributes and opt-ins",
    )
    custom: dict[IdentifierName, EventPaths] = Field(
        {"username": (EventPath("traits.username"),)},
        description="Attentive's customIdentifiers: names and their paths; your own list replaces the default",
    )

    phone_regions: tuple[Region, ...] = Field(
        (), description="countries whose phone numbers are sent, such as [US, CA]; empty: all"
    )
    placeholders: tuple[Placeholder, ...] = Field(
        (),
        description="further texts that stand for a missing identifier, in addition to the built-in ones "
        "(see input.md)",
    )
    most_links: int = Field(
        5,
        ge=1,
        le=20,
        description="maximum number of contacts per user ID, and of user IDs per contact; an identifier that "
        "exceeds it links nothing more, and is listed by `identities suspicious`; rows of syncs that exceed it "
        "within their source are dropped",
    )

    @model_validator(mode="after")
    def _check_that_events_can_pass(self) -> Self:
        if not (self.email or self.phone or self.client_user_id):
            raise ValueError("one of email, phone and client_user_id needs a path, or no event could pass")
        if self.primary != "any" and not getattr(self, self.primary):
            raise misplaced([(("primary",), f"is {self.primary}, which has no path")])
        if self.secondary_attribute is not None and self.primary == "any":
            raise misplaced([(("secondary_attribute",), "needs `primary: email` or `primary: phone`")])
        return self
