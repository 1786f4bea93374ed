"""One Attentive account, as the YAML file describes it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from app.config.attributes import Attributes
from app.config.deletion import Deletion
from app.config.delivery import DeliverySettings
from app.config.endpoints import EndpointName
from app.config.identifiers import Identifiers
from app.config.mapping import Mapping
from app.config.privacy import Privacy
from app.config.subscriptions import SubscriptionRules
from app.config.unknown_outcomes import UnknownOutcomes
from app.config.values import ATTENTIVE_URL, BaseUrl, Frozen, Rate, Region, SecretRef, gather


def _switch_or_names(given: Any) -> Any:
    if not isinstance(given, bool | list | tuple) and given not in ("yes", "no", "on", "off"):
        raise ValueError("must be true, false, or a list of event names")
    return given


class Destination(Frozen):
    """One Attentive account."""

    other_keys: ClassVar = ("api_token_env", "api_token_file")

    api_token: SecretRef = Field(description="the account's API key; or api_token_env, api_token_file")
    base_url: BaseUrl = Field(ATTENTIVE_URL, description="where its API is")
    default_region: Region = Field("US", description="country of phone numbers that come without a country code")
    identifiers: Identifiers = Field(Identifiers(), description="which identifiers are sent, and where they are found")
    attributes: Attributes = Field(Attributes(), description="what becomes of the other traits of an identify call")
    joins: Literal["send", "hold"] = Field(
        "send", description="identify calls that would make two known people one: sent, or held back"
    )
    other_events: Annotated[bool | tuple[str, ...], BeforeValidator(_switch_or_names)] = Field(
        True, description="track events that no catalogue row names: true, false, or a list of those let through"
    )
    mapping: Mapping = Field(Mapping(), description="what is mapped in another way than the catalogue says")
    limits: dict[EndpointName, Rate] = Field(
        default_factory=dict, description="calls per second by endpoint, where the account's differ from the documented"
    )
    deletion: Deletion = Field(Deletion(), description="what is done when somebody is to be forgotten")
    privacy: Privacy = Field(Privacy(), description="what is kept out of its events")
    unknown_outcomes: UnknownOutcomes = Field(
        default_factory=dict,
        description="by endpoint, what follows when nobody knows whether Attentive acted on a call: send_again, hold "
        "(for review), or give_up; subscribe and unsubscribe: check (ask Attentive first), hold, or give_up",
    )
    subscriptions: SubscriptionRules = Field(SubscriptionRules(), description="who is opted in and out, and when")
    delivery: DeliverySettings = Field(
        DeliverySettings(), description="what goes first, for how long it is tried, and a ceiling"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_api_token(cls, given: Any) -> Any:
        return gather(given, "api_token")
