"""One sender, as the YAML file describes it."""

from dataclasses import replace
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from app.config.profiles import Profiles
from app.config.values import Description, Frozen, HeaderName, Hours, Origin, Rate, SecretRef, Title, gather
from app.rights import Rights, Trust, rights_of

PUBLIC_EVENTS_PER_SECOND: Final = 2000  # a shop's pages send 100 at busy times; a process handles several thousand


class WriteKey(Frozen):
    """One of a source's write keys."""

    key: SecretRef = Field(description="the key itself, or {env: VARIABLE}, or {file: PATH}")
    retiring: bool = Field(
        False, description="true while it is being replaced: /metrics shows how often it is still used"
    )


class Signing(Frozen):
    """How a webhook source signs its requests. An unsigned request is answered with 401."""

    scheme: Literal["segment", "standard-webhooks", "bearer", "header"] = Field(
        description="segment (X-Signature), standard-webhooks (and Svix), bearer, or header"
    )
    secrets: tuple[SecretRef, ...] = Field(
        min_length=1, description="the secrets; a request needs one of them, so that they can be rotated"
    )
    header: HeaderName = Field("", description="the header with the secret, for scheme header")

    @model_validator(mode="after")
    def _check_header(self) -> Self:
        if (self.scheme == "header") != bool(self.header):
            raise ValueError("header: belongs to `scheme: header`, which needs it")
        return self


class SourceRights(Frozen):
    """Exceptions from the rights of the source's trust."""

    complete: Literal["visitor", "source"] | None = Field(
        None,
        description="events that its identify calls complete. visitor: those with the same `userId` and `anonymousId`; "
        "source: all with the same `userId`. Default: visitor for a public source",
    )
    alias: Literal["none", "anonymous", "any"] | None = Field(
        None,
        description="IDs that an alias call may name in `previousId`. Default: anonymous for a public source, else any",
    )
    merge: bool | None = Field(
        None,
        description="whether an event may link identifiers of two known people, where the destination allows "
        "merges. Default: false for a public source",
    )
    consent: Literal["none", "named", "any"] | None = Field(
        None,
        description="opt-in and opt-out rules that its events trigger. named: only those that list it in `sources`. "
        "Default: named for a public source, else any",
    )
    define_attributes: bool | None = Field(
        None,
        description="whether the first value that it sends defines the type of a custom attribute for all sources. "
        "Default: false for a public source",
    )


class Source(Frozen):
    """One sender."""

    title: Title = Field("", description="its name for people; by default its key in this file")
    description: Description = Field("", description="what it is, such as the shop's web pages")
    write_keys: tuple[WriteKey, ...] = Field(
        min_length=1,
        description="the keys that it authenticates with; for a single key: write_key, write_key_env or write_key_file",
    )
    destination: str = Field(description="the name of the destination its events go to")
    trust: Trust = Field(
        Trust.PUBLIC,
        description="who can send as this source. public: everyone, because its write key is in a web page or an app; "
        "server: only servers that keep the key secret; signed: only a sender with a valid signature, see `signing`",
    )
    rights: SourceRights = Field(SourceRights(), description="exceptions from the rights that `trust` gives, see below")
    origins: tuple[Origin, ...] = Field(
        ("*",), description="sites whose pages may post to it: https://shop.example, https://*.shop.example, or *"
    )
    erasures: bool = Field(False, description="carry out its `delete` events. Needs `trust: server` or `trust: signed`")
    signing: Signing | None = Field(None, description="for webhooks: scheme, secrets and header, see below")
    profiles: Profiles = Field(Profiles(), description="the profiles of its people, see below")
    horizon_hours: Hours | None = Field(
        None,
        description="an older event is not sent, and becomes a dead letter; by default `delivery.horizon_hours` of its "
        "destination",
    )
    events_per_second: Rate | None = Field(
        None,
        description="limit per gateway process, with bursts of twice as many; further events are answered with 429. "
        f"Default: {PUBLIC_EVENTS_PER_SECOND:,} for a public source, else none",
    )

    @classmethod
    def other_keys(cls) -> tuple[str, ...]:
        """A single write key, in the three forms of a secret."""
        return ("write_key", "write_key_env", "write_key_file")

    @model_validator(mode="before")
    @classmethod
    def _gather_write_keys(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "write_keys" in given:
            return given
        given = gather(given, "write_key")
        return given | ({"write_keys": [{"key": given.pop("write_key")}]} if "write_key" in given else {})

    @model_validator(mode="after")
    def _check_trust(self) -> Self:
        if self.trust is Trust.SIGNED and self.signing is None:
            raise ValueError("trust: signed needs `signing`, which verifies the sender")
        if self.trust is Trust.PUBLIC and self.erasures:
            raise ValueError(
                "erasures: needs trust: server or trust: signed. "
                "With a public write key, anyone could have other people erased"
            )
        return self

    @property
    def most_events_per_second(self) -> float | None:
        """The number that one gateway process accepts from it. None: no limit."""
        if self.events_per_second is None and self.trust is Trust.PUBLIC:
            return PUBLIC_EVENTS_PER_SECOND
        return self.events_per_second

    @property
    def granted(self) -> Rights:
        """The rights of its trust, with the configured exceptions."""
        exceptions = {name: value for name, value in self.rights if value is not None}
        return replace(rights_of(self.trust), **exceptions)
