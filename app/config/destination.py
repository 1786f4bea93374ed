"""One Attentive account, as the YAML file describes it."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from app.config.values import ATTENTIVE_URL, BaseUrl, Frozen, Region, SecretRef, gather


class Destination(Frozen):
    """One Attentive account."""

    api_token: SecretRef = Field(description="the account's API key; or api_token_env, api_token_file")
    base_url: BaseUrl = Field(ATTENTIVE_URL, description="where its API is")
    default_region: Region = Field("US", description="country of phone numbers that come without a country code")
    custom_identifiers: tuple[str, ...] = Field(
        ("username",), description="traits that are sent as Attentive customIdentifiers"
    )
    other_events: bool | tuple[str, ...] = Field(
        True, description="track events that no catalogue row names: true, false, or a list of those let through"
    )
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="calls per second by endpoint, where the account's differ from the documented"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_api_token(cls, given: Any) -> Any:
        return gather(given, "api_token")
