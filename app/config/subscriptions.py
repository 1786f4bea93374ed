"""Who is subscribed or unsubscribed, and when, as the YAML file describes it. By default, no person is."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from app.config.values import Frozen, Name, Region
from app.mapping.subscriptions import CONTACTS, Occasion, Subscription
from app.segment.paths import EventPath, steps_of

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Channel = Literal["text", "email"]
Kind = Literal["MARKETING", "TRANSACTIONAL"]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
LONGEST_HOURS: Final = 10 * 366 * 24
Hours = Annotated[float, Field(gt=0, le=LONGEST_HOURS)]

ACT_HOURS: Final = 1.0  # a form that is posted twice
STATE_HOURS: Final = 366 * 24.0  # a trait that every page repeats


def listed(given: Any) -> Any:
    """A single value as a list of one."""
    return (given,) if isinstance(given, str) else given


def _path(given: Any) -> Any:
    if isinstance(given, str):
        steps_of(given)
    return given


Channels = Annotated[tuple[Channel, ...], BeforeValidator(listed)]
Path = Annotated[Text, BeforeValidator(_path)]


def _language(code: str) -> str:
    if not re.fullmatch("[a-z]{2}", code):
        raise ValueError("must be two lower-case letters (ISO 639-1) such as en")
    return code


class Locale(Frozen):
    """Language and country, as Attentive writes them."""

    language: Annotated[str, AfterValidator(_language)] = Field(description="two lower-case letters, such as en")
    country: Region = Field(description="two capitals, such as US")


class _Occasion(Frozen):
    """The trigger: a track event, or a trait of an identify call."""

    event: Text | None = Field(None, description="a track event by name, in any spelling that the catalogue knows")
    property_: Path | None = Field(
        None, alias="property", description="the deciding property of that event, dotted; with `is`"
    )
    trait: Path | None = Field(None, description="instead of an event: a trait of identify calls, dotted; with `is`")
    is_: Scalar | None = Field(None, alias="is", description="the value it must have: true, false, a number or text")
    sources: tuple[Name, ...] | None = Field(
        None, description="only events of these sources. A public source must be listed here to trigger the rule"
    )
    channels: Channels = Field(("text", "email"), min_length=1, description="text, email, or both: which contacts")
    dedupe_hours: Hours | None = Field(
        None, description="repeats within this time are skipped. Default: 1 for events, 8784 (a year) for traits"
    )
    verify_first: bool | None = Field(
        None,
        description="ask Attentive first, and send only if the person does not have that state yet. "
        "Default: true for traits, false for events",
    )

    @model_validator(mode="after")
    def _check_occasion(self) -> Self:
        if (self.event is None) == (self.trait is None):
            raise ValueError("give either event (a track event's name) or trait (of identify calls)")
        if self.property_ is not None and self.event is None:
            raise ValueError("property: belongs to a track event, so it needs event")
        if (self.property_ is None and self.trait is None) != (self.is_ is None):
            raise ValueError("is: belongs to property or trait, and is needed there: consent is never guessed")
        return self

    @property
    def occasion(self) -> Occasion:
        """The occasion in the mapping's form."""
        if self.trait is not None:
            return Occasion(None, EventPath(f"traits.{self.trait}"), self.is_)
        path = None if self.property_ is None else EventPath(f"properties.{self.property_}")
        return Occasion(self.event, path, self.is_)

    @property
    def dedupe_window_s(self) -> int:
        """How long repeats are skipped."""
        hours = self.dedupe_hours or (ACT_HOURS if self.trait is None else STATE_HOURS)
        return max(1, round(hours * 3600))

    @property
    def asks(self) -> bool:
        """Whether Attentive is asked before anything is sent."""
        return self.trait is not None if self.verify_first is None else self.verify_first

    @property
    def contacts(self) -> frozenset[str]:
        """The identifiers that the channels need."""
        return frozenset(CONTACTS[channel] for channel in self.channels)


class OptIn(_Occasion):
    """A subscribe call, with exactly one of sign_up_source and locale."""

    sign_up_source: Text | None = Field(None, description="ID of Attentive's sign-up unit, in quotes; or:")
    locale: Locale | None = Field(None, description="{language: en, country: US}: the only API sign-up unit for these")
    type: Kind = Field(
        "MARKETING", description="the subscription type; with sign_up_source, only used to ask Attentive about it"
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.sign_up_source is None) == (self.locale is None):
            raise ValueError("give exactly one of sign_up_source and locale")
        return self

    def rule(self) -> Subscription:
        """The rule in the mapping's form."""
        body: dict[str, Any] = {"signUpSourceId": self.sign_up_source}
        if self.locale is not None:
            body = {"locale": self.locale.model_dump(), "subscriptionType": self.type}
        return Subscription(
            self.occasion, True, self.dedupe_window_s, body, self.contacts, verify_first=self.asks, sources=self.sources
        )


class OptOut(_Occasion):
    """An unsubscribe call: an e-mail address ends e-mails, a phone number ends texts."""

    types: Annotated[
        tuple[Literal["MARKETING", "TRANSACTIONAL", "CHECKOUT_ABANDONED"], ...], BeforeValidator(listed)
    ] = Field(
        (), description="the types that end: MARKETING, TRANSACTIONAL, CHECKOUT_ABANDONED. Without it, all of them"
    )
    notify: bool = Field(True, description="whether Attentive notifies the person")

    def rule(self) -> Subscription:
        """The rule in the mapping's form."""
        body = {} if self.notify else {"notification": {"disabled": True}}
        return Subscription(
            self.occasion, False, self.dedupe_window_s, body, self.contacts, self.types, self.asks, self.sources
        )


class SubscriptionRules(Frozen):
    """Rules by which people are subscribed and unsubscribed. Without a rule, no person is subscribed to anything."""

    opt_in: tuple[OptIn, ...] = Field((), description="rules by which people are subscribed")
    opt_out: tuple[OptOut, ...] = Field((), description="rules by which people are unsubscribed")
    check_after_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="seconds until Attentive is asked about a call of unknown outcome",
    )

    def rules(self) -> tuple[Subscription, ...]:
        """The rules in the mapping's form."""
        return (*(rule.rule() for rule in self.opt_in), *(rule.rule() for rule in self.opt_out))

    def types_by_source(self) -> dict[str, str]:
        """The subscription type of each sign-up source."""
        return {rule.sign_up_source: rule.type for rule in self.opt_in if rule.sign_up_source is not None}
