"""Every setting, from the environment and one optional YAML file, checked at start and frozen from then on."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

ATTENTIVE_URL: Final = "https://api.attentivemobile.com"
DEFAULT_DESTINATION: Final = "attentive"
DEFAULT_SOURCE: Final = "default"
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class BadSettings(Exception):  # noqa: N818 - it ends the start, with one line for the operator
    """A setting that cannot be used; the text names it and says what was expected."""


def _parts(url: str) -> SplitResult:
    """The address taken apart. What Python would say of a bad one may hold a secret, so we say it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address: look at its host and port") from None
    return parts


def _base_url(url: str) -> str:
    parts = _parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be a scheme and a host, such as " + ATTENTIVE_URL)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be https unless the host is this machine: the API token would travel in the clear")
    return url.rstrip("/")


def _redis_url(url: SecretStr) -> SecretStr:
    if _parts(url.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return url


def _region(region: str) -> str:
    if len(region) != 2 or not region.isascii() or not region.isalpha():
        raise ValueError("must be a two-letter country code (ISO 3166-1) such as US")
    return region.upper()


def _given(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError("must not be empty")
    if not (text.isascii() and text.isprintable()):  # it becomes part of a header
        raise ValueError("must be printable ASCII on one line")
    return SecretStr(text)


Secret = Annotated[SecretStr, AfterValidator(_given)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Region = Annotated[str, AfterValidator(_region)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _resolve(given: Any) -> Any:
    """A secret as text, or where it is kept: {env: VARIABLE} or {file: PATH}."""
    match given:
        case {"env": str(variable), **rest} if not rest:
            if not os.environ.get(variable):
                raise ValueError(f"the variable {variable} is not set")
            return os.environ[variable]
        case {"file": str(path), **rest} if not rest:
            return _read_secret(Path(path), "file")
        case dict():
            raise ValueError("give the secret itself, or {env: VARIABLE}, or {file: PATH}")
        case _:
            return given


SecretRef = Annotated[Secret, BeforeValidator(_resolve)]


def _gather(given: Any, name: str) -> Any:
    """`name`, `name_env` and `name_file` are three ways to give the same secret; exactly one is wanted."""
    if not isinstance(given, dict):
        return given
    given = dict(given)
    variable, file = given.pop(f"{name}_env", None), given.pop(f"{name}_file", None)
    if sum(way is not None for way in (given.get(name), variable, file)) != 1:
        raise ValueError(f"give exactly one of {name}, {name}_env (a variable's name) and {name}_file (a path)")
    if variable is not None:
        given[name] = {"env": variable}
    elif file is not None:
        given[name] = {"file": file}
    return given


class Destination(_Frozen):
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
        return _gather(given, "api_token")


class WriteKey(_Frozen):
    """One of a source's write keys."""

    key: SecretRef = Field(description="the key itself, or {env: VARIABLE}, or {file: PATH}")
    retiring: bool = Field(False, description="true while it is being replaced: /metrics shows who still uses it")


class Signing(_Frozen):
    """How a webhook source proves itself; what fails is a 401."""

    scheme: Literal["segment", "standard-webhooks", "bearer", "header"] = Field(
        description="segment (X-Signature), standard-webhooks (and Svix), bearer, or header"
    )
    secrets: tuple[SecretRef, ...] = Field(min_length=1, description="any of these will do: they can be rotated")
    header: str = Field("", description="the header that holds the secret, with scheme header")

    @model_validator(mode="after")
    def _check_header(self) -> Self:
        if (self.scheme == "header") != bool(self.header):
            raise ValueError("header: is for scheme header, and needed there")
        return self


class Source(_Frozen):
    """One sender."""

    write_keys: tuple[WriteKey, ...] = Field(
        min_length=1, description="what it authenticates with; or write_key, write_key_env, write_key_file for one"
    )
    destination: str = Field(description="the name of the destination its events go to")
    origins: tuple[str, ...] = Field(
        ("*",), description="web pages that may post: https://shop.example, https://*.shop.example, or *"
    )
    signing: Signing | None = Field(None, description="for webhooks: scheme, secrets and header, see below")
    events_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="more than this from one source, per gateway process, is a 429"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_write_keys(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "write_keys" in given:
            return given
        given = _gather(given, "write_key")
        return given | {"write_keys": [{"key": given.pop("write_key")}]}


class Topology(_Frozen):
    """Who sends, and where to: the YAML file's content."""

    destinations: dict[Annotated[str, Field(pattern=_NAME)], Destination] = Field(min_length=1)
    sources: dict[Annotated[str, Field(pattern=_NAME)], Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        keys: dict[str, str] = {}
        for name, source in self.sources.items():
            if source.destination not in self.destinations:
                known = ", ".join(self.destinations)
                raise ValueError(f"sources.{name}.destination: {source.destination!r} is none of {known}")
            for write_key in source.write_keys:
                if (other := keys.setdefault(write_key.key.get_secret_value(), name)) != name:
                    raise ValueError(f"sources.{name}.write_key: the same as one of {other}")
        return self


class Settings(BaseSettings):
    """The process's settings. Secrets can also be read from the file named by the same variable with `_FILE` added."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore", populate_by_name=True)

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="the queue: redis://, rediss:// (TLS) or unix:// URL"
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
    journal_entries: int = Field(100_000, ge=0, description="journal entries kept per destination")
    journal_hours: float = Field(72, gt=0, description="how long journal entries are kept")
    concurrency: int = Field(64, ge=1, le=1000, description="calls to Attentive under way at once, per lane and worker")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least important level logged")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON")

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, given: Any) -> Any:
        for variable, field in SECRET_VARIABLES.items():
            if file := os.environ.get(f"{variable}_FILE"):
                if os.environ.get(variable):
                    raise ValueError(f"set {variable} or {variable}_FILE, not both")
                given[field] = _read_secret(Path(file), f"{variable}_FILE")
        return given

    @field_validator("write_key", "api_token")
    @classmethod
    def _not_blank(cls, secret: SecretStr | None) -> SecretStr | None:
        return secret if secret and secret.get_secret_value().strip() else None

    def topology(self) -> Topology:
        """Sources and destinations, from the file or from the single-account variables. Raises BadSettings."""
        if self.config is not None:
            return _read_topology(self.config)
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
        raise BadSettings("; ".join(_sentence(error, _variable) for error in invalid.errors())) from None


def _read_topology(path: Path) -> Topology:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise BadSettings(f"GATEWAY_CONFIG: cannot read {path}: {failure.strerror}") from None
    except yaml.YAMLError as failure:  # its own text quotes the line, which may hold a secret
        mark = getattr(failure, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(failure, "problem", None) or "it holds characters that YAML forbids"
        raise BadSettings(f"GATEWAY_CONFIG: {path}{where}: not YAML: {problem}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"GATEWAY_CONFIG: {path} is not text in UTF-8") from None
    try:
        return Topology.model_validate(content)
    except ValidationError as invalid:
        mistakes = "; ".join(_sentence(error, ".".join) for error in invalid.errors())
        raise BadSettings(f"GATEWAY_CONFIG: {path}: {mistakes}") from None


def _read_secret(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as failure:
        raise BadSettings(f"{setting}: cannot read {path}: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{setting}: {path} is not text in UTF-8") from None


def _variable(path: list[str]) -> str:
    """The environment variable behind a field of Settings."""
    name = ".".join(path)
    return name if name.isupper() else f"GATEWAY_{name.upper()}"


def _sentence(error: Any, name_of: Any) -> str:
    """One mistake as "where: what was expected". The value is left out: it may be a secret."""
    where = name_of([str(part) for part in error["loc"]]) if error["loc"] else ""
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{where}: {rule}" if where else rule
