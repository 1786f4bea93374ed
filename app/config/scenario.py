"""A scenario for `simulate`: traffic, bursts and outages as an operator writes them, with units."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from app.config.document import BadFile, Document
from app.config.endpoints import EndpointName
from app.config.values import Frozen, Title, sentence

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PER: Final = {"s": 1, "min": 60, "h": 3600, "day": 86_400}
_SIZES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BYTES: Final = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_NUMBER: Final = r"(\d[\d,_]*(?:\.\d+)?)"
_SPAN: Final = rf"{_NUMBER} ?([smhd])"
_CLOCK: Final = r"([01]?\d|2[0-3]):([0-5]\d)"
_DAY_S: Final = 86_400.0
_MOST_EVENTS_PER_S: Final = 10.0**7
_MOST: Final = 10.0**15  # of any number that is written
IDENTIFY: Final = "identify"
PAGE: Final = "page"
# What a shop's tracker sends. An assumption, not a measurement: every shop differs.
USUAL_MIX: Final[Mapping[str, float]] = {
    "Product Viewed": 0.40,
    PAGE: 0.35,
    "Product List Viewed": 0.10,
    "Product Added": 0.06,
    "Checkout Started": 0.02,
    "Order Completed": 0.01,
    IDENTIFY: 0.06,
}


def _number(text: str) -> float:
    value = float(text.replace(",", "").replace("_", ""))
    if value > _MOST:
        raise ValueError(f"must be at most {_MOST:,.0f}")
    return value


def _read(pattern: str, given: Any, rule: str) -> re.Match[str]:
    found = re.fullmatch(pattern, str(given).strip())
    if found is None:
        raise ValueError(rule)
    return found


def rate(given: Any) -> float:
    """ "200/s", "12,000/min", "4M/day": a number of events or calls per second. Raises ValueError."""
    rule = "must be a rate such as 200/s, 12,000/min or 4M/day"
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = f"{given}/s"
    found = _read(rf"{_NUMBER}([kMG]?) ?/ ?(s|min|h|day)", given, rule)
    value = _number(found[1]) * _SIZES[found[2]] / _PER[found[3]]
    if not 0 < value <= _MOST_EVENTS_PER_S:
        raise ValueError("must be more than 0 and at most 10M/s")
    return value


def span(given: Any) -> float:
    """ "20m", "3h": seconds. Raises ValueError."""
    found = _read(_SPAN, given, "must be a time with its unit, such as 90s, 20m, 3h or 2d")
    return _positive(_number(found[1]) * _SECONDS[found[2]])


def _positive(seconds: float) -> float:
    if not 0 < seconds <= 30 * _DAY_S:
        raise ValueError("must be more than 0 and at most 30 days")
    return seconds


def _some_days(seconds: float) -> float:
    if seconds > 7 * _DAY_S:
        raise ValueError("must be at most 7d")
    return seconds


def clock(given: Any) -> float:
    """ "18:00": seconds since midnight. Raises ValueError."""
    found = _read(_CLOCK, given, "must be a time of day such as 18:00")
    return int(found[1]) * 3600.0 + int(found[2]) * 60


def share(given: Any) -> float:
    """ "30%" or 0.3. Raises ValueError."""
    found = _read(rf"{_NUMBER} ?(%?)", given, "must be a share such as 30% or 0.3")
    value = _number(found[1]) / (100 if found[2] else 1)
    if not 0 <= value <= 1:
        raise ValueError("must be from 0 to 100 %")
    return value


def number(given: Any) -> int:
    """ "10M", "250k" or a plain number. Raises ValueError."""
    found = _read(rf"{_NUMBER} ?([kMG]?)", given, "must be a number such as 250k, 10M or 1,200,000")
    return round(_number(found[1]) * _SIZES[found[2]])


def size(given: Any) -> int:
    """ "8GB": bytes. Raises ValueError."""
    found = _read(rf"{_NUMBER} ?(MB|GB|MiB|GiB)", given, "must be a size such as 512MB, 8GB or 8GiB")
    return round(_number(found[1]) * _BYTES[found[2]])


Rate = Annotated[float, BeforeValidator(rate)]
Span = Annotated[float, BeforeValidator(span)]
Clock = Annotated[float, BeforeValidator(clock)]
Share = Annotated[float, BeforeValidator(share)]
Number = Annotated[int, BeforeValidator(number), Field(ge=0, le=10**12)]
Bytes = Annotated[int, BeforeValidator(size), Field(gt=0)]


class BurstSettings(Frozen):
    """More traffic for a while."""

    factor: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(description="times the usual traffic")
    at: Clock = Field(description="when it begins, such as 18:00")
    lasts: Span = Field(description="how long it lasts, such as 3h")


class OutageSettings(Frozen):
    """A time in which Attentive does not answer."""

    at: Clock = Field(description="when it begins, such as 19:00")
    lasts: Span = Field(description="how long it lasts, such as 20m")
    endpoints: tuple[EndpointName, ...] = Field((), description="the endpoints that do not answer; by default all")


def _spelled(pattern: str, rule: str, fields: Callable[[re.Match[str]], dict[str, Any]]) -> BeforeValidator:
    """A validator that also takes the short spelling of the command line."""

    def read(given: Any) -> Any:
        return fields(_read(pattern, given, rule)) if isinstance(given, str) else given

    return BeforeValidator(read)


Burst = Annotated[
    BurstSettings,
    _spelled(
        rf"{_NUMBER} ?x ?@ ?(\d?\d:\d\d) ?\+ ?(\S+)",
        "must be a burst such as 10x@18:00+3h: ten times the traffic from 18:00 on, for 3 hours",
        lambda found: {"factor": _number(found[1]), "at": found[2], "lasts": found[3]},
    ),
]
Outage = Annotated[
    OutageSettings,
    _spelled(
        r"(\d?\d:\d\d) ?\+ ?([^\s:]+)(?::([a-z0-9,-]+))?",
        "must be an outage such as 19:00+20m, or 19:00+20m:purchase for one endpoint",
        lambda found: {"at": found[1], "lasts": found[2], "endpoints": found[3].split(",") if found[3] else []},
    ),
]


def _mix(given: Any) -> Any:
    """Shares by event, from a mapping or from `Product Viewed=60,identify=10`."""
    if isinstance(given, str):
        pairs = [part.rpartition("=") for part in given.split(",") if part.strip()]
        if not pairs or not all(name.strip() and equals and value.strip() for name, equals, value in pairs):
            raise ValueError('must be parts by event such as "Product Viewed=60,Order Completed=2,identify=8"')
        given = {name.strip(): value for name, _, value in pairs}
    return given


def _part(given: Any) -> float:
    found = _read(rf"{_NUMBER} ?%?", given, "must be a part such as 60 or 60%")
    return _number(found[1])


def _some_part(mix: dict[str, float]) -> dict[str, float]:
    if not any(mix.values()):
        raise ValueError("must have a part that is more than 0")
    return mix


Mix = Annotated[dict[str, Annotated[float, BeforeValidator(_part)]], BeforeValidator(_mix), AfterValidator(_some_part)]
Limits = Annotated[dict[EndpointName, Rate], BeforeValidator(_mix)]


class ScenarioSettings(Frozen):
    """One account's traffic over some hours, and what happens meanwhile."""

    name: Title = Field("", description="its title in the report")
    rate: Rate = Field(description="usual traffic of one account, such as 40/s, 12,000/min or 4M/day")
    mix: Mix = Field(
        default_factory=lambda: dict(USUAL_MIX),
        description="parts of the traffic by event: names of track events, page and identify",
    )
    identified: Share = Field(
        0.3, description="share of the events whose person Attentive can know; the others are dropped"
    )
    changed: Share = Field(
        0.2, description="share of the identify events that tell something new about a person; others send no call"
    )
    public: Share = Field(0.9, description="share of the events that come from browsers and apps")
    bursts: tuple[Burst, ...] = Field((), max_length=50, description="times of more traffic, such as 10x@18:00+3h")
    outages: tuple[Outage, ...] = Field(
        (), max_length=50, description="times in which Attentive does not answer, such as 19:00+20m"
    )
    limits: Limits = Field(
        default_factory=dict, description="calls per second by endpoint, in place of those of the configuration"
    )
    latency: Span = Field(0.1, validate_default=False, description="how long Attentive takes to answer")
    accounts: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="equal accounts that share Redis")
    people: Number = Field(1_000_000, description="known people of all accounts together, within 30 days")
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="workers of all accounts; by default as many as are needed"
    )
    maxmemory: Bytes | None = Field(None, description="Redis' maxmemory, such as 8GB; by default no limit")
    begins: Clock | None = Field(
        None, description="when the simulation begins; by default an hour before the first burst or outage"
    )
    lasts: Annotated[Span, AfterValidator(_some_days)] | None = Field(
        None, description="its length; by default until all is sent, at most 72h"
    )


def read_scenario(path: Path, missing: Mapping[str, Any] | None = None) -> tuple[ScenarioSettings, dict[str, Any]]:
    """The scenario of a YAML file, and its content as it is written. Raises BadFile, and OSError.

    `missing` has valid values for fields that the file may lack.
    """
    document = Document(path, path.read_bytes())
    content = document.content
    whole = {**(missing or {}), **content} if isinstance(content, Mapping) else content
    try:
        return ScenarioSettings.model_validate(whole), dict(content or {})
    except ValidationError as invalid:
        raise BadFile(path, document.mistakes(invalid.errors(include_url=False))) from None


def scenario_of(given: Mapping[str, Any], name_of: Callable[[list[str]], str]) -> ScenarioSettings:
    """The scenario of these fields. Raises ValueError; `name_of` names the path of a field."""
    try:
        return ScenarioSettings.model_validate(dict(given))
    except ValidationError as invalid:
        raise ValueError("; ".join(sentence(error, name_of) for error in invalid.errors(include_url=False))) from None
