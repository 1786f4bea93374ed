"""One sender, as the YAML file describes it."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.config.memory import Memory
from app.config.values import Frozen, HeaderName, Origin, Rate, SecretRef, gather


class WriteKey(Frozen):
    """One of a source's write keys."""

    key: SecretRef = Field(description="the key itself, or {env: VARIABLE}, or {file: PATH}")
    retiring: bool = Field(False, description="true while it is being replaced: /metrics shows who still uses it")


class Signing(Frozen):
    """How a webhook source proves itself; what fails is a 401."""

    scheme: Literal["segment", "standard-webhooks", "bearer", "header"] = Field(
        description="segment (X-Signature), standard-webhooks (and Svix), bearer, or header"
    )
    secrets: tuple[SecretRef, ...] = Field(min_length=1, description="any of these will do: they can be rotated")
    header: HeaderName = Field("", description="the header that holds the secret, with scheme header")

    @model_validator(mode="after")
    def _check_header(self) -> Self:
        if (self.scheme == "header") != bool(self.header):
            raise ValueError("header: is for scheme header, and needed there")
        return self


class Source(Frozen):
    """One sender."""

    other_keys: ClassVar = ("write_key", "write_key_env", "write_key_file")

    write_keys: tuple[WriteKey, ...] = Field(
        min_length=1, description="what it authenticates with; or write_key, write_key_env, write_key_file for one"
    )
    destination: str = Field(description="the name of the destination its events go to")
    origins: tuple[Origin, ...] = Field(
        ("*",), description="web pages that may post: https://shop.example, https://*.shop.example, or *"
    )
    deletions: bool = Field(
        False,
        description="carry out its `delete` events; never for a write key that is public, such as a web page's",
    )
    signing: Signing | None = Field(None, description="for webhooks: scheme, secrets and header, see below")
    memory: Memory = Field(Memory(), description="what is remembered of its people")
    events_per_second: Rate | None = Field(
        None, description="more than this from one source, per gateway process, is a 429"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_write_keys(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "write_keys" in given:
            return given
        given = gather(given, "write_key")
        return given | ({"write_keys": [{"key": given.pop("write_key")}]} if "write_key" in given else {})
