"""Destinations and sources: their configuration and their state. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.attentive.token import Held
from app.config.destination import Destination
from app.config.source import Source
from app.console.pages.overview import HoldLine, token_words
from app.delivery.objectives import Window
from app.operations.destinations import DestinationStatus
from app.operations.lag import LagStatus
from app.operations.promotion import delivers_to
from app.operations.tokens import Findings


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """One destination in the list."""

    name: str
    base_url: str
    sources: Sequence[str]
    token: str
    token_text: str
    calls_waiting: int
    dead_letters: int
    in_review: int
    held: bool
    delivers_to: str
    limited: bool  # not to all people


@dataclass(frozen=True, slots=True)
class DestinationPage:
    """One destination whole."""

    row: DestinationRow
    holds: Sequence[HoldLine]
    settings: Sequence[tuple[str, str]]
    lag: Sequence["LagRow"]


@dataclass(frozen=True, slots=True)
class LagRow:
    """How the calls of one priority do against the objective for lag. Shares are from 0 to 1; None: no calls."""

    priority: str
    objective: str
    last_hour: float | None
    month: float | None
    in_time: int  # of the last 30 days, like the next three
    limited: int
    held: int
    late: int
    budget_left: float


@dataclass(frozen=True, slots=True)
class Scope:
    """One right of a token, whether it is held, and what needs it."""

    name: str
    held: str  # yes, no or unknown
    purposes: Sequence[str]


@dataclass(frozen=True, slots=True)
class TokenPage:
    """What a test of a token found."""

    destination: str
    good: bool
    text: str
    scopes: Sequence[Scope]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source."""

    name: str
    destination: str
    trust: str
    keys: int
    retiring: int
    origins: str
    signing: str
    profiles: str
    limit: str


def destination_row(
    name: str, destination: Destination, status: DestinationStatus, sources: Sequence[str]
) -> DestinationRow:
    """One destination in the list."""
    token, text = token_words(status.token)
    return DestinationRow(
        name,
        destination.base_url,
        sources,
        token,
        text,
        status.calls_waiting,
        status.dead_letters,
        status.in_review,
        bool(status.holds),
        delivers_to(destination.recipients),
        not destination.recipients.are_all,
    )


def destination_settings(destination: Destination) -> list[tuple[str, str]]:
    """The settings that operators need most. They contain no secret."""
    delivery = destination.delivery
    limits = ", ".join(f"{endpoint} {limit:g}/s" for endpoint, limit in destination.limits.items())
    ceiling = delivery.calls_per_second
    reviews = ", ".join(f"{endpoint}: {then.value}" for endpoint, then in destination.unknown_outcomes.items())
    return [
        ("Address", destination.base_url),
        ("Default region", destination.default_region),
        ("Own limits", limits or "none, those of Attentive"),
        ("Calls per second, all endpoints", "no ceiling" if ceiling is None else f"{ceiling:g}"),
        ("Calls are given up after", f"{delivery.horizon_hours:g} h"),
        ("Unknown outcomes", reviews or "the default policies"),
    ]


def lag_row(status: LagStatus) -> LagRow:
    """One priority of a destination."""
    objective, month = status.report.objective, status.month
    return LagRow(
        status.report.priority.name.lower(),
        f"{objective.share * 100:g} % in {objective.within.total_seconds():g} s",
        status.recent(Window.FAST).share,
        month.share,
        month.in_time,
        month.limited,
        month.held,
        month.late,
        status.budget_left,
    )


def token_page(name: str, found: Findings) -> TokenPage:
    """The result of a test."""
    words = {Held.YES: "yes", Held.NO: "no"}
    scopes = [
        Scope(scope, words.get(found.scopes.get(scope, Held.UNKNOWN), "unknown"), purposes)
        for scope, purposes in found.needs.items()
    ]
    return TokenPage(name, found.good, found.summary, scopes)


def source_rows(sources: Mapping[str, Source]) -> list[SourceRow]:
    """Every source."""
    return [_source(name, source) for name, source in sources.items()]


def _source(name: str, source: Source) -> SourceRow:
    kinds = [kind for kind in ("user_id", "anonymous_id") if getattr(source.profiles, kind)]
    return SourceRow(
        name=name,
        destination=source.destination,
        trust=source.trust.value,
        keys=len(source.write_keys),
        retiring=sum(key.retiring for key in source.write_keys),
        origins="any site" if "*" in source.origins else ", ".join(source.origins),
        signing="" if source.signing is None else source.signing.scheme,
        profiles=f"{', '.join(kinds)} for {source.profiles.days:g} days" if kinds else "off",
        limit="" if source.events_per_second is None else f"{source.events_per_second:g} events/s",
    )
