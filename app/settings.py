"""Every setting of a process, read from its environment at start, validated and frozen."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.config.bad_settings import BadSettings
from app.config.files import Stamp, stamp
from app.config.topology import Loaded, Topology, load_file
from app.config.values import (
    ATTENTIVE_URL,
    LOOPBACK,
    BaseUrl,
    CollectorUrl,
    Region,
    SandboxAccount,
    read_headers,
    read_secret,
    sentence,
    url_parts,
    usable_secret,
)
from app.store.url import parse_redis_url

DEFAULT_DESTINATION: Final = "attentive"
DEFAULT_SOURCE: Final = "default"


def _redis_url(url: SecretStr) -> SecretStr:
    parse_redis_url(url.get_secret_value())
    return url


class Settings(BaseSettings):
    """The process's settings. Secrets can also be read from a file, named by the variable with `_FILE` appended."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore", populate_by_name=True)

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="the queue: redis://, rediss:// (TLS), unix://, redis+sentinel://, redis+cluster://",
    )
    config: Path | None = Field(
        None,
        description="YAML file with sources and destinations; without it, the next variables describe a "
        "single source and account",
    )
    write_key: SecretStr | None = Field(None, description="the write key of the only source")
    trust: Literal["public", "server"] = Field(
        "public",
        description="who can send as the only source. public: everyone, because its write key is in a web "
        "page or an app; server: only servers that keep the key secret",
    )
    api_token: SecretStr | None = Field(
        None,
        validation_alias="ATTENTIVE_API_TOKEN",
        description="the API token of the only Attentive account",
    )
    base_url: BaseUrl = Field(
        ATTENTIVE_URL,
        validation_alias="ATTENTIVE_BASE_URL",
        description="address of that account's API",
    )
    default_region: Region = Field("US", description="country of phone numbers without a country code")
    sandbox_url: BaseUrl | None = Field(
        None,
        description="for trials: a sandbox for the calls of all destinations of GATEWAY_CONFIG, with the key in "
        "ATTENTIVE_API_TOKEN, in place of the file's `base_url` and `api_token`",
    )

    host: str = Field("127.0.0.1", description="address the gateway listens on")
    port: int = Field(8080, ge=0, le=65535, description="port the gateway listens on")
    admin_host: str = Field("127.0.0.1", description="address of the gateway's pages for operators")
    admin_port: int = Field(
        8082,
        ge=1,
        le=65535,
        description="port of the gateway's pages for operators: /metrics, /scaling, /readyz with details, /docs",
    )
    worker_host: str = Field("127.0.0.1", description="address of a worker's health and metrics pages")
    worker_port: int = Field(8081, ge=0, le=65535, description="port of a worker's health and metrics pages; 0: any")
    console_host: str = Field("127.0.0.1", description="address the console listens on")
    console_port: int = Field(8083, ge=0, le=65535, description="port the console listens on; 0: any")
    console_password: SecretStr | None = Field(
        None,
        description="the password of the console's only user, `admin`, where GATEWAY_CONFIG has no `console`",
    )
    console_token: SecretStr | None = Field(
        None,
        description="a token that signs in as an admin through the link `/sign-in?token=…`. `run` makes one and prints "
        "the link",
    )
    wait_for_replicas: int = Field(
        0, ge=0, le=10, description="replicas of Redis that must have an event before it is acknowledged; 0: none"
    )
    require_durable_redis: bool = Field(
        False, description="refuse to start if Redis can lose acknowledged data; otherwise a warning is logged"
    )
    redis_durability: Literal["reported", "managed"] = Field(
        "reported",
        description="how Redis' durability is judged. reported: by what it reports of its append-only file and "
        "replicas; managed: a service keeps a log that it does not report, such as MemoryDB",
    )
    max_connections: int = Field(
        10_000,
        ge=1,
        description="maximum number of connections per gateway process, within its limit of open files; "
        "further ones are answered with 503",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="maximum size of a request body, after decompression")
    max_event_bytes: int = Field(32_768, ge=1024, description="maximum size of one event, as JSON")
    max_batch_events: int = Field(2_500, ge=1, description="maximum number of events in one batch")
    max_backlog_events: int = Field(
        1_000_000,
        ge=1,
        description="maximum number of calls that wait for one destination; beyond it, events are answered with 429",
    )
    max_backlog_bytes: int = Field(
        2**31,
        ge=1,
        description="maximum Redis memory of the calls that wait for one destination; beyond it, events "
        "are answered with 429",
    )
    max_memory_share: float = Field(
        0.9, gt=0, le=1, description="share of Redis' maxmemory above which events are answered with 503"
    )
    sync_state: str = Field(
        "data/syncs",
        min_length=1,
        description="folder in which syncs remember what Attentive accepted, or s3://BUCKET/FOLDER; it has to outlive "
        "the process",
    )
    journal_entries: int = Field(100_000, ge=0, le=10**9, description="journal entries kept per destination")
    journal_bytes: int = Field(
        256 * 2**20, ge=2**20, description="maximum Redis memory of a destination's journal; beyond it, the oldest go"
    )
    dead_letter_days: float = Field(
        90,
        gt=0,
        le=36_500,
        description="days that dead letters, and calls in review, are kept",
    )
    dead_letter_entries: int = Field(
        1_000_000,
        ge=1,
        le=10**9,
        description="maximum number of each, for each source of a destination; beyond it, the oldest of that source "
        "are deleted. A warning is logged at 80 % of any of these limits",
    )
    dead_letter_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description="maximum size of each in Redis, for each source of a destination; beyond it, the oldest of that "
        "source are deleted",
    )
    journal_hours: float = Field(72, gt=0, le=876_000, description="hours that journal entries are kept")
    recorded_calls: int = Field(
        10_000,
        ge=0,
        le=10**7,
        description="maximum number of recorded calls per destination, masked; the oldest go first",
    )
    recorded_bytes: int = Field(
        32 * 2**20, ge=0, description="maximum size of the recorded calls of a destination in Redis"
    )
    record_share: float = Field(
        0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="share of the delivered calls that are recorded. Failed calls are always recorded, others while "
        "`events tail` or the console watches",
    )
    concurrency: int = Field(
        64, ge=1, le=1000, description="maximum number of simultaneous calls to Attentive, per lane and worker"
    )
    worker_calls_per_second: float = Field(
        2000,
        gt=0,
        allow_inf_nan=False,
        description="maximum calls per second of one worker, used by /scaling",
    )
    traces_endpoint: CollectorUrl | None = Field(
        None,
        description="address of an OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; "
        "without it, nothing is traced. See docs/traces.md",
    )
    traces_headers: SecretStr | None = Field(
        None,
        description="headers for the collector, such as `authorization=Bearer%20abc,x-team=shop`; values are "
        "percent-encoded",
    )
    traces_share: float = Field(
        0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="share of the requests that are traced. Requests of server and signed sources with a sampled "
        "`traceparent`, dead letters, holds and unknown outcomes always are",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level that is logged")
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

    @field_validator("write_key", "api_token", "console_password", "console_token")
    @classmethod
    def _not_blank(cls, secret: SecretStr | None) -> SecretStr | None:
        return usable_secret(secret) if secret and secret.get_secret_value().strip() else None

    @field_validator("traces_headers")
    @classmethod
    def _headers(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            read_headers(given.get_secret_value())
        return given

    def headers_of_traces(self) -> dict[str, str]:
        """The headers for the collector."""
        return {} if self.traces_headers is None else read_headers(self.traces_headers.get_secret_value())

    def topology(self) -> Topology:
        """Sources and destinations, from the file or from the single-account variables. Raises BadSettings."""
        return self.loaded().topology

    @property
    def is_managed(self) -> bool:
        """Whether Redis is a service that keeps a log which it does not report."""
        return self.redis_durability == "managed"

    def loaded(self) -> Loaded:
        """The topology, and where it was read from. Raises BadSettings."""
        if self.config is not None:
            return load_file(self.config, sandbox=self._sandbox())
        named = (os.environ.get(f"{variable}_FILE") for variable in ("GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN"))
        files = {Path(file): stamp(Path(file)) for file in named if file}
        return self._one_account(files)

    def loaded_again(self) -> Loaded:
        """The current contents of the files. A process's environment never changes. Raises BadSettings."""
        return self.loaded() if self.config is not None else load_settings().loaded()

    def _sandbox(self) -> SandboxAccount | None:
        if self.sandbox_url is None:
            return None
        if url_parts(self.sandbox_url).hostname not in LOOPBACK:
            raise BadSettings("GATEWAY_SANDBOX_URL: must be an address of this machine, such as http://127.0.0.1:8090")
        if self.api_token is None:
            raise BadSettings("GATEWAY_SANDBOX_URL: needs ATTENTIVE_API_TOKEN, a key of the sandbox")
        return SandboxAccount(self.sandbox_url, self.api_token.get_secret_value())

    def _one_account(self, files: Mapping[Path, Stamp]) -> Loaded:
        missing = [
            variable
            for variable, value in (("GATEWAY_WRITE_KEY", self.write_key), ("ATTENTIVE_API_TOKEN", self.api_token))
            if value is None
        ]
        if missing:
            raise BadSettings(f"{' and '.join(missing)} must be set, or GATEWAY_CONFIG must name a YAML file")
        document = {
            "destinations": {
                DEFAULT_DESTINATION: {
                    "api_token": self.api_token,
                    "base_url": self.base_url,
                    "default_region": self.default_region,
                }
            },
            "sources": {
                DEFAULT_SOURCE: {
                    "write_key": self.write_key,
                    "destination": DEFAULT_DESTINATION,
                    "trust": self.trust,
                }
            },
        }
        return Loaded(Topology.model_validate(document), files=files, document=document)


SECRET_VARIABLES: Final = {
    "GATEWAY_REDIS_URL": "redis_url",
    "GATEWAY_WRITE_KEY": "write_key",
    "ATTENTIVE_API_TOKEN": "api_token",
    "GATEWAY_CONSOLE_PASSWORD": "console_password",
    "GATEWAY_CONSOLE_TOKEN": "console_token",
    "GATEWAY_TRACES_HEADERS": "traces_headers",
}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` win. Raises BadSettings with one readable line per mistake."""
    try:
        return Settings(**overrides)
    except ValidationError as invalid:
        raise BadSettings("; ".join(sentence(error, _variable) for error in invalid.errors())) from None


def _variable(path: list[str]) -> str:
    """The environment variable of a field of Settings."""
    name = ".".join(path)
    return name if name.isupper() else f"GATEWAY_{name.upper()}"
