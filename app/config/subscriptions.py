"""Who is opted in and out, and on what occasion, as the YAML file says it. Nobody is by default."""

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

from app.config.values import Frozen, Region
from app.mapping.subscriptions import CONTACTS, Occasion, Subscription
from app.segment.paths import EventPath, steps_of

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Channel = Literal["text", "email"]
Kind = Literal["MARKETING", "TRANSACTIONAL"]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Hours = Annotated[float, Field(gt=0, le=10 * 366 * 24)]

ACT_HOURS: Final = 1.0  # a form that is posted twice
STATE_HOURS: Final = 366 * 24.0  # a trait that every page repeats


def _listed(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _path(given: Any) -> Any:
    if isinstance(given, str):
        steps_of(given)
    return given


Channels = Annotated[tuple[Channel, ...], BeforeValidator(_listed)]
Path = Annotated[Text, BeforeValidator(_path)]


def _language(code: str) -> str:
    if not re.fullmatch("[a-z]{2}", code):
        raise ValueError("must be two small letters (ISO 639-1) such as en")
    return code


class Locale(Frozen):
    """Language and country, as Attentive writes them."""

    language: Annotated[str, AfterValidator(_language)] = Field(description="two small letters, such as en")
    country: Region = Field(description="two capitals, such as US")


class _Occasion(Frozen):
    """When somebody says it: in a track event, or with a trait of an identify call."""

    event: Text | None = Field(None, description="a track event by name, in any spelling that the catalogue knows")
    property_: Path | None = Field(
        None, alias="property", description="of that event, a property that decides, dotted; with `is`"
    )
    trait: Path | None = Field(None, description="in place of an event: a trait of identify calls, dotted; with `is`")
    is_: Scalar | None = Field(None, alias="is", description="the value it must have: true, false, a number or text")
    channels: Channels = Field(("text", "email"), min_length=1, description="text, email, or both: which contacts")
    once_in_hours: Hours | None = Field(
        None, description="the same said again within this time is left out: 1 for events, 8784 (a year) for traits"
    )
    ask_first: bool | None = Field(
        None, description="ask Attentive, and send only where it is not so already: true for traits, false for events"
    )

    @model_validator(mode="after")
    def _check_occasion(self) -> Self:
        if (self.event is None) == (self.trait is None):
            raise ValueError("give event (a track event's name) or trait (of identify calls), and not both")
        if self.property_ is not None and self.event is None:
            raise ValueError("property: is one of a track event, and needs event")
        if (self.property_ is None and self.trait is None) != (self.is_ is None):
            raise ValueError("is: belongs to property or trait, and is needed there: consent is never guessed")
        return self

    @property
    def occasion(self) -> Occasion:
        """The same as the mapping takes it."""
        if self.trait is not None:
            return Occasion(None, EventPath(f"traits.{self.trait}"), self.is_)
        path = None if self.property_ is None else EventPath(f"properties.{self.property_}")
        return Occasion(self.event, path, self.is_)

    @property
    def once_in_s(self) -> int:
        """How long the same is left out."""
        hours = self.once_in_hours or (ACT_HOURS if self.trait is None else STATE_HOURS)
        return max(1, round(hours * 3600))

    @property
    def asks(self) -> bool:
        """Whether Attentive is asked before anything is sent."""
        return self.trait is not None if self.ask_first is None else self.ask_first

    @property
    def contacts(self) -> frozenset[str]:
        """Which identifiers the channels need."""
        return frozenset(CONTACTS[channel] for channel in self.channels)


class OptIn(_Occasion):
    """A subscribe call, with exactly one of sign_up_source and locale."""

    sign_up_source: Text | None = Field(None, description="id of Attentive's sign-up unit, in quotes; or:")
    locale: Locale | None = Field(None, description="{language: en, country: US}: the one API sign-up unit for these")
    type: Kind = Field("MARKETING", description="what they subscribe to; with sign_up_source only used to ask about it")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.sign_up_source is None) == (self.locale is None):
            raise ValueError("give exactly one of sign_up_source and locale")
        return self

    def rule(self) -> Subscription:
        """The same as the mapping takes it."""
        body: dict[str, Any] = {"signUpSourceId": self.sign_up_source}
        if self.locale is not None:
            body = {"locale": self.locale.model_dump(), "subscriptionType": self.type}
        return Subscription(self.occasion, True, self.once_in_s, body, self.contacts, ask_first=self.asks)


class OptOut(_Occasion):
    """An unsubscribe call: an e-mail address ends e-mails, a phone number ends texts."""

    types: Annotated[
        tuple[Literal["MARKETING", "TRANSACTIONAL", "CHECKOUT_ABANDONED"], ...], BeforeValidator(_listed)
    ] = Field((), description="only these: MARKETING, TRANSACTIONAL, CHECKOUT_ABANDONED; otherwise all of them")
    notify: bool = Field(True, description="false: Attentive does not tell the person")

    def rule(self) -> Subscription:
        """The same as the mapping takes it."""
        body = {} if self.notify else {"notification": {"disabled": True}}
        return Subscription(self.occasion, False, self.once_in_s, body, self.contacts, self.types, self.asks)


class SubscriptionRules(Frozen):
    """What makes people subscribers, and ends that. Never guessed: without a rule nobody is subscribed to anything."""

    opt_in: tuple[OptIn, ...] = Field((), description="occasions on which somebody is subscribed")
    opt_out: tuple[OptOut, ...] = Field((), description="occasions on which somebody is unsubscribed")
    check_after_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="a call of unknown outcome is asked about so long after: Attentive takes its time",
    )

    def rules(self) -> tuple[Subscription, ...]:
        """The same as the mapping takes them."""
        return (*(rule.rule() for rule in self.opt_in), *(rule.rule() for rule in self.opt_out))

    def types_by_source(self) -> dict[str, str]:
        """What each sign-up source subscribes people to."""
        return {rule.sign_up_source: rule.type for rule in self.opt_in if rule.sign_up_source is not None}
