"""Faults on demand: rules that define which calls fail, and how.

A rule matches by key, path, person, share of calls, number of calls and time window; the first rule that matches wins.
`when` defines whether the call is processed before it fails: "after" is the ambiguous case, in which the client cannot
know that its call counted.
"""

import random
from itertools import count
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.sandbox.answers import Answer, error_answer, html_page
from app.sandbox.call import Call
from app.sandbox.config import SandboxConfig
from app.sandbox.endpoints import Endpoint

DEFAULT_STATUS = {"status": 503, "html": 502, "redirect": 307}
SPOILS_A_GOOD_ANSWER = frozenset({"cut", "slow_body", "truncated_body"})


class FaultRule(BaseModel):
    """Which calls fail, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["status", "html", "redirect", "reset", "cut", "hang", "slow_body", "truncated_body"] = Field(
        description=(
            "status: this status with an error body. html: an error page. redirect: a 3xx. reset: the connection is "
            "reset before a byte is answered. cut: the head of a good answer, then the connection is closed. hang: no "
            "answer until the client gives up. slow_body: a good answer, byte by byte. truncated_body: half of one."
        )
    )
    when: Literal["before", "after"] | None = Field(
        None, description="Before or after the call was processed; before, for the kinds that can do both."
    )
    status: int | None = Field(None, ge=300, le=599, description="For status, html and redirect.")
    message: str = Field("injected fault", description="Goes into the error body.")
    location: str = Field("https://login.example.com/", description="For redirect.")
    retry_after: str | None = Field(None, description="A Retry-After header, seconds or an HTTP date, sent as it is.")
    seconds: float | None = Field(
        None, ge=0, description="hang: the longest wait before the real answer. slow_body: the total time (default 5)."
    )

    key: str | None = Field(None, description="Name of the API key.")
    path: str | None = Field(None, description="An exact path, or 'METHOD path'; a trailing * matches any rest.")
    person: str | None = Field(None, description="Part of a phone, e-mail or external id in the call.")
    percent: float = Field(100, ge=0, le=100, description="This share of the matching calls, drawn by chance.")
    count: int | None = Field(None, ge=1, description="The number of calls after which the rule ends.")
    starts_in_s: float = Field(0, ge=0, description="The delay before the rule applies.")
    lasts_s: float | None = Field(None, gt=0, description="How long the rule applies.")

    @model_validator(mode="after")
    def _kind_fits_the_rest(self) -> Self:
        if self.when == "before" and self.kind in SPOILS_A_GOOD_ANSWER:
            raise ValueError(f"{self.kind} spoils the answer to a processed call, so it cannot come before")
        if self.status is not None and self.kind not in DEFAULT_STATUS:
            raise ValueError(f"{self.kind} takes no status")
        return self

    @property
    def after(self) -> bool:
        """Whether the call is processed before it fails."""
        return self.when == "after" or self.kind in SPOILS_A_GOOD_ANSWER

    def covers(self, call: Call, endpoint: Endpoint | None, key: str | None) -> bool:
        """Whether the rule applies to this call, apart from its percentage and times."""
        if self.key is not None and self.key != key:
            return False
        if self.path is not None and not _path_matches(self.path, call, endpoint):
            return False
        return self.person is None or any(self.person.lower() in each.value.lower() for each in call.identifiers)

    def answer(self, config: SandboxConfig) -> Answer | None:
        """The wrong answer itself; None for the kinds that spoil the connection or a good answer."""
        status = self.status or DEFAULT_STATUS.get(self.kind, 0)
        match self.kind:
            case "status":
                answer = error_answer(status, self.message, config)
            case "html":
                answer = html_page(status, self.message)
            case "redirect":
                answer = Answer(status, headers=((b"location", self.location.encode()),))
            case _:
                return None
        return answer.with_headers((b"retry-after", self.retry_after.encode())) if self.retry_after else answer


def _path_matches(pattern: str, call: Call, endpoint: Endpoint | None) -> bool:
    names = [call.path, f"{call.method} {call.path}"]
    if endpoint is not None:
        names += [endpoint.path, endpoint.label]
    if pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names


class _Active:
    def __init__(self, rule: FaultRule, added_at: float) -> None:
        self.rule = rule
        self.starts_at = added_at + rule.starts_in_s
        self.ends_at = self.starts_at + rule.lasts_s if rule.lasts_s is not None else None
        self.struck = 0

    def awake(self, now: float) -> bool:
        if self.rule.count is not None and self.struck >= self.rule.count:
            return False
        return self.starts_at <= now and (self.ends_at is None or now < self.ends_at)


class Faults:
    """The rules in force, by number."""

    def __init__(self, seed: int) -> None:
        """Start with no rule."""
        self._rand = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._ids = count(1)
        self._active: dict[int, _Active] = {}

    def add(self, rule: FaultRule, now: float) -> int:
        """Add a rule. Returns its number."""
        number = next(self._ids)
        self._active[number] = _Active(rule, now)
        return number

    def remove(self, number: int) -> bool:
        """Remove a rule. False if there is none with this number."""
        return self._active.pop(number, None) is not None

    def clear(self) -> int:
        """Remove every rule. Returns how many there were."""
        removed = len(self._active)
        self._active.clear()
        return removed

    def strike(self, call: Call, endpoint: Endpoint | None, key: str | None) -> FaultRule | None:
        """The rule that applies to this call, if any. Counts the hit."""
        for active in self._active.values():
            rule = active.rule
            if not active.awake(call.arrived_at) or not rule.covers(call, endpoint, key):
                continue
            if rule.percent < 100 and self._rand.random() * 100 >= rule.percent:
                continue
            active.struck += 1
            return rule
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """Every rule with its number and its hits."""
        return [
            {"id": number, "struck": active.struck, **active.rule.model_dump(exclude_defaults=True)}
            for number, active in self._active.items()
        ]
