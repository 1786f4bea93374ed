"""Every setting of a process, from its environment, checked at start and frozen from then on."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.config.files import stamp
from app.config.topology import Loaded, Topology, load_file
from app.config.values import ATTENTIVE_URL, BadSettings, BaseUrl, Region, read_secret, sentence, usable_secret
from app.redis_url import parse_redis_url

DEFAULT_DESTINATION: Final = "attentive"
DEFAULT_SOURCE: Final = "default"


def _redis_url(url: SecretStr) -> SecretStr:
    parse_redis_url(url.get_secret_value())
    return url


class Settings(BaseSettings):
    """The process's settings. Secrets can also be read from the file named by the same variable with `_FILE` added."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore", populate_by_name=True)

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="the queue: redis://, rediss:// (TLS), unix://, redis+sentinel://",
    )
    config: Path | None = Field(
        None, description="YAML file with sources and destinations; else the next three are used"
    )
    write_key: SecretStr | None = Field(None, description="the write key of the only source")
    api_token: SecretStr | None = Field(
        None,
        validation_alias="ATTENTIVE_API_TOKEN",
        description="the API token of the only Attentive account",
    )
    base_url: BaseUrl = Field(
        ATTENTIVE_URL,
        validation_alias="ATTENTIVE_BASE_URL",
        description="where that account's API is",
    )
    default_region: Region = Field("US", description="country of phone numbers that come without a country code")

    host: str = Field("127.0.0.1", description="address the gateway listens on")
    port: int = Field(8080, ge=0, le=65535, description="port the gateway listens on")
    worker_host: str = Field("127.0.0.1", description="address of a worker's health and metrics pages")
    worker_port: int = Field(8081, ge=0, le=65535, description="port of a worker's health and metrics pages; 0: any")
    wait_for_replicas: int = Field(
        0, ge=0, le=10, description="replicas of Redis that must have an event before it is acknowledged; 0: none"
    )
    require_durable_redis: bool = Field(
        False, description="refuse to start on a Redis that may lose what it was given (else a loud warning)"
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="largest request body, after inflating")
    max_event_bytes: int = Field(32_768, ge=1024, description="largest single event, as JSON")
    max_batch_events: int = Field(2_500, ge=1, description="most events in one batch")
    max_backlog_events: int = Field(
        1_000_000, ge=1, description="calls that may wait for one destination; more events are a 429 until fewer do"
    )
    max_backlog_bytes: int = Field(
        2**31, ge=1, description="Redis memory that what waits for one destination may take; more events are a 429"
    )
    max_memory_share: float = Field(
        0.9, gt=0, le=1, description="share of Redis' maxmemory in use above which events are a 503"
    )
    journal_entries: int = Field(100_000, ge=0, le=10**9, description="journal entries kept per destination")
    dead_letter_days: float = Field(
        90,
        gt=0,
        le=36_500,
        description="how long dead letters, and calls held for review, are kept; the oldest go first",
    )
    dead_letter_entries: int = Field(
        1_000_000,
        ge=1,
        le=10**9,
        description="how many of each are kept per destination; a warning comes at 80 % of either",
    )
    journal_hours: float = Field(72, gt=0, le=876_000, description="how long journal entries are kept")
    concurrency: int = Field(64, ge=1, le=1000, description="calls to Attentive under way at once, per lane and worker")
    worker_calls_per_second: float = Field(
        2000,
        gt=0,
        allow_inf_nan=False,
        description="calls one worker sends per second where no limit slows it; /scaling counts with it",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least important level logged")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON")

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, given: Any) -> Any:
        for variable, field in SECRET_VARIABLES.items():
            if file := os.environ.get(f"{variable}_FILE"):
                if os.environ.get(variable):
                    raise ValueError(f"set {variable} or {variable}_FILE, not both")
                given[field] = read_secret(Path(file), f"{variable}_FILE")
        return given

    @field_validator("write_key", "api_token")
    @classmethod
    def _not_blank(cls, secret: SecretStr | None) -> SecretStr | None:
        return usable_secret(secret) if secret and secret.get_secret_value().strip() else None

    def topology(self) -> Topology:
        """Sources and destinations, from the file or from the single-account variables. Raises BadSettings."""
        return self.loaded().topology

    def loaded(self) -> Loaded:
        """The same, with what it was read from. Raises BadSettings."""
        if self.config is not None:
            return load_file(self.config)
        named = (os.environ.get(f"{variable}_FILE") for variable in ("GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN"))
        files = {Path(file): stamp(Path(file)) for file in named if file}
        return Loaded(self._one_account(), files=files)

    def loaded_again(self) -> Loaded:
        """What the files say now; the environment of a process never changes. Raises BadSettings."""
        return self.loaded() if self.config is not None else load_settings().loaded()

    def _one_account(self) -> Topology:
        missing = [
            variable
            for variable, value in (("GATEWAY_WRITE_KEY", self.write_key), ("ATTENTIVE_API_TOKEN", self.api_token))
            if value is None
        ]
        if missing:
            raise BadSettings(f"{' and '.join(missing)} must be set, or GATEWAY_CONFIG must name a YAML file")
        return Topology.model_validate(
            {
                "destinations": {
                    DEFAULT_DESTINATION: {
                        "api_token": self.api_token,
                        "base_url": self.base_url,
                        "default_region": self.default_region,
                    }
                },
                "sources": {DEFAULT_SOURCE: {"write_key": self.write_key, "destination": DEFAULT_DESTINATION}},
            }
        )


SECRET_VARIABLES: Final = {
    "GATEWAY_REDIS_URL": "redis_url",
    "GATEWAY_WRITE_KEY": "write_key",
    "ATTENTIVE_API_TOKEN": "api_token",
}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, `overrides` winning. Raises BadSettings with one readable line per mistake."""
    try:
        return Settings(**overrides)
    except ValidationError as invalid:
        raise BadSettings("; ".join(sentence(error, _variable) for error in invalid.errors())) from None


def _variable(path: list[str]) -> str:
    """The environment variable behind a field of Settings."""
    name = ".".join(path)
    return name if name.isupper() else f"GATEWAY_{name.upper()}"
