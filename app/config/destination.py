"""One Attentive account, as the YAML file describes it."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from app.config.attributes import Attributes
from app.config.delivery import DeliverySettings
from app.config.endpoints import EndpointName
from app.config.erasure import ErasureSettings
from app.config.identifiers import Identifiers
from app.config.mapping import Mapping
from app.config.privacy import Privacy
from app.config.subscriptions import SubscriptionRules
from app.config.unknown_outcomes import UnknownOutcomes
from app.config.values import (
    ATTENTIVE_URL,
    BaseUrl,
    Description,
    Frozen,
    Rate,
    Region,
    SecretRef,
    Secrets,
    Title,
    misplaced,
)
from app.delivery.recipients import Deliver, Recipients
from app.identity.normalise import to_e164, to_email


def _switch_or_names(given: Any) -> Any:
    if not isinstance(given, bool | list | tuple) and given not in ("yes", "no", "on", "off"):
        raise ValueError("must be true, false, or a list of event names")
    return given


class Destination(Frozen):
    """One Attentive account."""

    indirect: ClassVar = "api_token"

    title: Title = Field("", description="its name for people; by default its key in this file")
    description: Description = Field("", description="what it is for, and when to use it")
    api_token: SecretRef = Field(description="the account's API token; or api_token_env, api_token_file")
    base_url: BaseUrl = Field(ATTENTIVE_URL, description="address of its API")
    deliver: Deliver = Field(
        Deliver.ALL,
        description="all; test_people: only calls about the people of `test_people`; none. What is not sent ends as "
        "`not_delivered`",
    )
    test_people: tuple[str, ...] = Field(
        (), max_length=1000, description="e-mail addresses and phone numbers of the people who test this account"
    )
    default_region: Region = Field("US", description="country of phone numbers without a country code")
    identifiers: Identifiers = Field(Identifiers(), description="which identifiers are sent, and where they are found")
    attributes: Attributes = Field(Attributes(), description="how the other traits of an identify call are sent")
    merges: Literal["send", "block"] = Field(
        "send", description="whether to send or block links that would merge two known people"
    )
    other_events: Annotated[bool | tuple[str, ...], BeforeValidator(_switch_or_names)] = Field(
        True,
        description="track events that are not in the catalogue: true to send all, false to send none, or "
        "a list of names",
    )
    mapping: Mapping = Field(Mapping(), description="exceptions from the catalogue's mapping")
    limits: dict[EndpointName, Rate] = Field(
        default_factory=dict,
        description="calls per second by endpoint, if the account's limits differ from the documented ones",
    )
    erasure: ErasureSettings = Field(ErasureSettings(), description="what an erasure does at Attentive")
    privacy: Privacy = Field(Privacy(), description="sensitive data that is removed from its events")
    unknown_outcomes: UnknownOutcomes = Field(
        default_factory=dict,
        description="by endpoint, what happens if it is unknown whether Attentive processed a call: send_again, review "
        "(by an operator), or give_up; subscribe and unsubscribe: verify (ask Attentive first), review, or give_up",
    )
    subscriptions: SubscriptionRules = Field(
        SubscriptionRules(), description="rules by which people are subscribed and unsubscribed"
    )
    delivery: DeliverySettings = Field(
        DeliverySettings(), description="order, retries and the rate of the whole account"
    )

    @model_validator(mode="after")
    def _check_test_people(self) -> Self:
        for place, contact in enumerate(self.test_people):
            if self._contact(contact) is None:
                rule = "must be an e-mail address, or a phone number in quotes, such as '+14155550132'"
                raise misplaced([(("test_people", place), rule)])
        if self.deliver is Deliver.TEST_PEOPLE and not self.test_people:
            raise misplaced([(("deliver",), "is test_people, but `test_people` is empty")])
        return self

    @property
    def recipients(self) -> Recipients:
        """The people that its calls are sent about."""
        return Recipients(self.deliver, frozenset(filter(None, map(self._contact, self.test_people))))

    def _contact(self, text: str) -> str | None:
        return to_email(text) if "@" in text else to_e164(text, self.default_region)

    @model_validator(mode="before")
    @classmethod
    def _use_sandbox(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, dict) and isinstance(info.context, Secrets) and (account := info.context.sandbox):
            given = {key: value for key, value in given.items() if not key.startswith("api_token")}
            given |= {"api_token": account.token, "base_url": account.url}
        return given
