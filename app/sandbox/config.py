"""Every switch of the sandbox. Where the real setting of Attentive is unknown, the switch is marked Unsettled."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.sandbox.endpoints import ALL_LABELS, ALL_PATHS, Endpoint
from app.sandbox.keys import DEFAULT_KEY, ApiKey
from app.sandbox.latency import Latency

Step = Literal["auth", "scope", "rate", "body"]
ANY_PATH = "*"


class Unsettled:
    """Marks a switch for behaviour of the real API that no public document describes."""


class SignUpUnit(BaseModel):
    """An API sign-up unit, which a subscribe call may name by locale and type instead of by id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    language: str = "en"
    country: str = "US"
    subscription_type: Literal["MARKETING", "TRANSACTIONAL"] = "MARKETING"


class SandboxConfig(BaseModel):
    """The behaviour of this sandbox. Frozen: a change at run time replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = Field((DEFAULT_KEY,), exclude=True, description="The keys at start and after a reset.")
    seed: int = Field(0, description="Seeds the random source of latencies and of faults by percentage.")

    checks: Annotated[tuple[Step, ...], Unsettled()] = Field(
        ("auth", "scope", "rate", "body"),
        description="The order in which a request is checked; the first failure wins.",
    )
    refuse_unknown_keys: Annotated[bool, Unsettled()] = Field(
        True, description="400 for a key that no schema knows. Off: it vanishes. `user` is always closed."
    )
    forbidden_characters: Annotated[Literal["documented", "union"], Unsettled()] = Field(
        "union", description="In property keys and attribute names: \" { } [ ] \\ | alone, or with ' ( ) and , as well."
    )

    limits_enabled: bool = Field(True, description="Off: nothing is limited, and the headers show a very large limit.")
    limits: dict[str, int | None] = Field(
        default_factory=dict,
        description="Calls per second by path or 'METHOD path', over the documented ones. 0 or null: unlimited.",
    )
    limit_window: Annotated[Literal["sliding", "fixed"], Unsettled()] = Field(
        "sliding", description="Any 1 s (strict), or one that starts at each full second."
    )
    rate_headers: bool = Field(True, description="x-ratelimit-limit and x-ratelimit-remaining on every answer.")
    retry_after: Annotated[Literal["none", "seconds", "date"], Unsettled()] = Field(
        "none", description="The form of Retry-After on a 429."
    )
    retry_after_s: int = Field(1, ge=0)

    error_body: Annotated[Literal["message", "error_object", "error_text", "empty", "html"], Unsettled()] = Field(
        "message", description='{"message"}, {"error": {"id", "message"}}, {"error": text}, nothing, or a page.'
    )
    echo_person: Annotated[bool, Unsettled()] = Field(
        False, description="Error texts repeat the caller's phone or e-mail, to prove that clients redact."
    )

    unknown_types: Annotated[Literal["create", "reject"], Unsettled()] = Field(
        "create", description="A custom event type not seen before: bind it to the calling app, or answer 404."
    )
    event_types: dict[str, str] = Field(
        default_factory=dict, description="Custom event types that exist from the start, and the app each is bound to."
    )
    unlinked: Annotated[Literal["discard", "reject"], Unsettled()] = Field(
        "discard", description="An external id that was never linked to a person: 200 and lost, or 404."
    )
    untimely: Annotated[Literal["discard", "reject", "keep"], Unsettled()] = Field(
        "discard", description="Too old or in the future: 200 and lost, 400, or kept without a journey."
    )
    no_journey_after_s: float = Field(12 * 3600, ge=0, description="An event older than this starts no journey.")
    discard_after_s: float = Field(24 * 3600, ge=0, description="An event older than this is untimely.")
    future_skew_s: float = Field(300, ge=0, description="An event further ahead than this is untimely.")
    duplicates: Annotated[Literal["count", "dedupe"], Unsettled()] = Field(
        "count", description="A repeated externalEventId or orderId: take it twice, or once."
    )

    attribute_names_max: Annotated[int | None, Unsettled()] = Field(
        100, ge=1, description="Custom attributes in one v2 call; null: no limit."
    )
    attribute_options: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Attributes with a fixed list of options, which the API cannot extend."
    )
    numeric_strings_are_numbers: Annotated[bool, Unsettled()] = Field(
        True, description='A first value of "24" makes the attribute a number.'
    )
    v2_type_conflicts: Annotated[Literal["refuse", "note"], Unsettled()] = Field(
        "refuse", description="v2 applies later: a type conflict is a 400, or a 202 that changes nothing."
    )

    sign_up_units: tuple[SignUpUnit, ...] = (
        SignUpUnit(id="sandbox-marketing"),
        SignUpUnit(id="sandbox-transactional", subscription_type="TRANSACTIONAL"),
    )
    subscribed_again: Annotated[Literal["accept", "conflict", "refuse"], Unsettled()] = Field(
        "accept", description="Subscribing a subscriber: 202 PREVIOUSLY_CREATED, 409, or 400 ALREADY_SUBSCRIBED."
    )

    latency: dict[str, Latency] = Field(default_factory=dict, description="By path; '*' is every path without its own.")

    bulk_job_s: float = Field(0.2, ge=0, description="Seconds until the job of a bulk call is done.")

    ledger_max: int = Field(200_000, ge=1, description="Calls, IDs and people stored; the oldest are removed first.")
    summary_only: bool = Field(False, description="Count calls and keep none: for benchmarks.")

    @field_validator("checks")
    @classmethod
    def _each_step_once(cls, checks: tuple[Step, ...]) -> tuple[Step, ...]:
        if sorted(checks) != sorted(get_args(Step)):
            raise ValueError("must name auth, scope, rate and body once each")
        if checks.index("scope") < checks.index("auth"):
            raise ValueError("scope needs a key, so auth comes before it")
        return checks

    @field_validator("limits")
    @classmethod
    def _limits_of_known_paths(cls, limits: dict[str, int | None]) -> dict[str, int | None]:
        for name, per_second in limits.items():
            if name not in ALL_PATHS | ALL_LABELS:
                raise ValueError(f"{name} is not a path of the API")
            if per_second is not None and per_second < 0:
                raise ValueError(f"{name} must not be negative")
        return limits

    @field_validator("latency")
    @classmethod
    def _latency_of_known_paths(cls, latency: dict[str, Latency]) -> dict[str, Latency]:
        for name in latency:
            if name != ANY_PATH and name not in ALL_PATHS:
                raise ValueError(f"{name} is neither a path of the API nor '*'")
        return latency

    def limit_of(self, endpoint: Endpoint) -> int | None:
        """Calls per second that one key may make to this endpoint; None is unlimited."""
        if not self.limits_enabled:
            return None
        limits = self.limits
        for name in (endpoint.label, endpoint.path) if limits else ():
            if name in limits:
                return limits[name] or None
        return endpoint.calls_per_second

    def latency_of(self, path: str) -> Latency | None:
        """The latency of this path: its own, else that of every path, else none."""
        return self.latency.get(path) or self.latency.get(ANY_PATH)


UNSETTLED = tuple(
    name
    for name, field in SandboxConfig.model_fields.items()
    if any(isinstance(mark, Unsettled) for mark in field.metadata)
)


def first_problem(error: ValidationError) -> str:
    """The first mistake in a control request, with its field: "colour: is not known here"."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "body"
    message = "is not known here" if problem["type"] == "extra_forbidden" else problem["msg"]
    return f"{field}: {message}"
