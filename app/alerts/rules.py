"""The rules of all alerts, one row each. Pure.

Workers evaluate the rows, the chart's PrometheusRule and `alerts rules` are made of them, and so is docs/alerts.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
WINDOW_S: Final = 900.0  # over which events are counted, where a row states nothing else
REQUESTS_WINDOW_S: Final = 300.0  # over which requests are counted
_PARTS: Final = "|"  # in a name in Redis; no name of ours has one


class Unit(StrEnum):
    """What a rule's value is measured in."""

    SWITCH = "switch"  # 1 while something is so, else 0
    COUNT = "count"
    SHARE = "share"  # 0.25 is a quarter
    SECONDS = "seconds"


class Evaluator(StrEnum):
    """Who can see the condition."""

    WORKERS = "workers"
    GATEWAYS = "gateways"  # it keeps workers from doing so
    PROMETHEUS = "prometheus"  # it is seen from outside alone


@dataclass(frozen=True, slots=True)
class AlertId:
    """One rule and one subject."""

    rule: str
    labels: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Its name in Redis."""
        return _PARTS.join((self.rule, *self.labels))

    @property
    def subject(self) -> str:
        """What it is about, as people read it: "acme/purchase"; empty where that is the gateway itself."""
        return "/".join(label for label in self.labels if label)

    @classmethod
    def of(cls, field: str) -> "AlertId":
        """The alert of a name."""
        rule, *labels = field.split(_PARTS)
        return cls(rule, tuple(labels))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a rule fires, and after how long. None: the rule does not reach this severity."""

    warning: float | None
    critical: float | None
    for_s: float = 0.0  # how long the condition must last

    def at(self, critical: bool) -> float | None:
        """The threshold of one severity; None: it is never reached."""
        return self.critical if critical else self.warning


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It fires while its value is above a threshold."""

    name: str  # in the YAML file
    when: str  # the condition, as the documentation lists it
    labels: tuple[str, ...]  # what the subjects of the rule are named by
    unit: Unit
    thresholds: Thresholds  # unless the configuration states others
    summary: str  # {subject} and {value} stand for what fired
    advice: str  # what it means, and what to do first
    prometheus: str = ""  # the value in PromQL, {of} for the selector; empty where no metric has it
    prometheus_for_s: float = 0.0  # where Prometheus needs longer, because it sees less
    evaluator: Evaluator = Evaluator.WORKERS

    @property
    def alert(self) -> str:
        """The name of the alert in Prometheus, and of its heading in docs/alerts.md."""
        return "AttentiveGateway" + "".join(word.capitalize() for word in self.name.split("_"))


_BY_LANE: Final = ("destination", "endpoint")
_OF: Final = ("destination",)

RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule(
            "backlog_old",
            "the oldest call of a lane was received so long ago",
            _BY_LANE,
            Unit.SECONDS,
            Thresholds(warning=900, critical=4 * HOUR_S, for_s=120),
            summary="Calls to {subject} have waited for {value}",
            advice="Attentive does not answer, its limit is lower than what comes in, or the lane is held. Nothing is "
            "lost yet: calls are given up 24 hours after their event. Run `attentive-gateway destinations list`.",
            prometheus="max by (destination, endpoint) (gateway_oldest_waiting_seconds{{of}})",
        ),
        Rule(
            "held",
            "a destination or an endpoint is held: its token or a scope is refused, or its account has changed",
            _BY_LANE,
            Unit.SWITCH,
            Thresholds(warning=None, critical=0.5),
            prometheus_for_s=120,
            summary="Nothing is sent to {subject}",
            advice="Attentive refuses the API token (the whole destination is held) or this endpoint, or the token is "
            "another account's. `attentive-gateway destinations list` shows the reason.",
            prometheus="max by (destination, endpoint) (gateway_held{{of}})",
        ),
        Rule(
            "attentive_away",
            "Attentive does not answer, or answers with 5xx",
            _BY_LANE,
            Unit.SWITCH,
            Thresholds(warning=0.5, critical=None, for_s=120),
            summary="Attentive does not answer calls to {subject}",
            advice="The lane is stopped and tried again with growing pauses. Nothing is lost: check Attentive's status "
            "page and your way to the internet.",
            prometheus="sum by (destination, endpoint) "
            '(rate(gateway_attempts_total{{of},answer=~"unreachable|5.."}[5m]))'
            " / sum by (destination, endpoint) (rate(gateway_attempts_total{{of}}[5m]))",
        ),
        Rule(
            "journeys_missed",
            "calls were accepted too late to start a journey because they waited, in 15 minutes",
            _OF,
            Unit.COUNT,
            Thresholds(warning=0, critical=1000),
            summary="{value} calls to {subject} waited too long to start a journey",
            advice="Attentive takes them, and starts no journey for an event that is more than 12 hours old. Find out "
            "why calls wait: see AttentiveGatewayBacklogOld.",
            prometheus='sum by (destination) (increase(gateway_journeys_missed_total{{of},cause="waited"}[15m]))',
        ),
        Rule(
            "dead_letters_grow",
            "more dead letters are kept than 15 minutes ago, by so many",
            _OF,
            Unit.COUNT,
            Thresholds(warning=0, critical=1000),
            summary="Events for {subject} become dead letters: {value} in 15 minutes",
            advice="They are kept whole and can be replayed. `attentive-gateway dead-letters list` shows the reasons.",
            prometheus="max by (destination) (delta(gateway_dead_letters{{of}}[15m]))",
        ),
        Rule(
            "dead_letters_share",
            "this share of the events that ended within 15 minutes, and at least 20 of them, became dead letters",
            _OF,
            Unit.SHARE,
            Thresholds(warning=0.05, critical=0.25),
            summary="{value} of the events for {subject} become dead letters",
            advice="A share like this is a cause that concerns all events: a tracker that has changed, the mapping, or "
            "Attentive's rules. `attentive-gateway dead-letters list` shows the reasons.",
            prometheus='sum by (destination) (increase(gateway_events_ended_total{{of},ending="dead_lettered"}[15m])) '
            "/ sum by (destination) (increase(gateway_events_ended_total{{of}}[15m]))",
        ),
        Rule(
            "dead_letters_nearly_full",
            "the oldest dead letter, or what a source has of them, is at this share of what is kept",
            ("destination", "queue"),
            Unit.SHARE,
            Thresholds(warning=0.8, critical=0.95, for_s=300),
            summary="Dead letters of {subject} are soon too old or too many to be kept ({value})",
            advice="At 100 % the oldest are deleted. Replay, export or purge them, or keep more: "
            "GATEWAY_DEAD_LETTER_DAYS, GATEWAY_DEAD_LETTER_ENTRIES and GATEWAY_DEAD_LETTER_BYTES.",
            prometheus="max by (destination, queue) (gateway_dead_letters_fill_ratio{{of}})",
        ),
        Rule(
            "dead_letters_deleted",
            "dead letters were deleted, for their age or the share of their source, in 15 minutes",
            ("destination", "queue", "source", "why"),
            Unit.COUNT,
            Thresholds(warning=None, critical=0),
            summary="Dead letters are deleted: {value} of {subject}",
            advice="share: this source has as many as it may have, and those of other sources are untouched. age: they "
            "are older than GATEWAY_DEAD_LETTER_DAYS.",
            prometheus="sum by (destination, queue, source, why) "
            "(increase(gateway_dead_letters_evicted_total{{of}}[15m]))",
        ),
        Rule(
            "journal_trimmed",
            "entries of a journal were deleted within 15 minutes, because it took too many bytes",
            ("destination", "source"),
            Unit.COUNT,
            Thresholds(warning=0, critical=None),
            summary="The journal is full, and its oldest entries are deleted: {value} of {subject}",
            advice="`trace` and `events` reach less far back. The source is the one that most of the newest entries "
            "are about: give it a lower events_per_second, or the journal more room: GATEWAY_JOURNAL_BYTES.",
            prometheus="sum by (destination, source) (increase(gateway_journal_trimmed_total{{of}}[15m]))",
        ),
        Rule(
            "unknown_outcomes",
            "calls of unknown outcome are in review",
            _OF,
            Unit.COUNT,
            Thresholds(warning=0, critical=None, for_s=300),
            summary="{value} calls to {subject} wait for a decision",
            advice="It is unknown whether Attentive processed them, and they must not be sent twice. "
            "`attentive-gateway unknown-outcomes list` shows them.",
            prometheus="max by (destination) (gateway_unknown_outcomes_in_review{{of}})",
        ),
        Rule(
            "server_errors",
            "this share of tracking requests, and at least 5 of them, were answered with 5xx within 5 minutes",
            (),
            Unit.SHARE,
            Thresholds(warning=None, critical=0.01, for_s=300),
            summary="{value} of tracking requests are answered with 5xx",
            advice="Redis is away, full or read-only, or the gateways are overloaded. Trackers send again for some "
            "minutes; after that they lose events.",
            prometheus='sum(rate(gateway_http_requests_total{{of},status=~"5.."}[5m])) '
            "/ sum(rate(gateway_http_requests_total{{of}}[5m]))",
        ),
        Rule(
            "puts_trackers_off",
            "trackers got so many 429 within 5 minutes",
            ("source", "limit"),
            Unit.COUNT,
            Thresholds(warning=0, critical=None, for_s=300),
            summary="Trackers are put off with 429: {subject}, {value} times in 5 minutes",
            advice="A source sends more than its events_per_second (rate_limited), has its share of the backlog "
            "(source_backlog_full), or too much waits for its destination (backlog_full).",
            prometheus="sum by (source, limit) (increase(gateway_limits_reached_total"
            '{{of},limit=~"backlog_full|source_backlog_full|rate_limited"}[5m]))',
        ),
        Rule(
            "limit_reached",
            "a limit of requests or connections was reached so often within 5 minutes",
            ("source", "limit"),
            Unit.COUNT,
            Thresholds(warning=0, critical=None, for_s=300),
            summary="A limit of requests and connections is reached again and again: {subject}",
            advice="A tracker sends what is too large or too slow, or the gateway is attacked. `limit.reached` in the "
            "log has the same names.",
            prometheus="sum by (source, limit) (increase(gateway_limits_reached_total"
            '{{of},limit!~"backlog_full|source_backlog_full|rate_limited|redis_full|overloaded"}[5m]))',
        ),
        Rule(
            "refusals",
            "the intake refused so many requests or events with one code within 5 minutes",
            ("code",),
            Unit.COUNT,
            Thresholds(warning=100, critical=None, for_s=120),
            summary="The intake refuses events: {subject}, {value} in 5 minutes",
            advice="unknown_source: a write key that belongs to no source. `attentive-gateway refusals list` shows the "
            "last ones of each source, with the field and the rule.",
            prometheus='sum by (code) (increase(gateway_refused_total{{of},code!~"rate_limited|.*backlog_full"}[5m]))',
        ),
        Rule(
            "source_silent",
            "a source has sent nothing for so long, in an hour of the day in which it sent at least 60 events a week "
            "ago, or else yesterday",
            ("source",),
            Unit.SECONDS,
            Thresholds(warning=1800, critical=2 * HOUR_S),
            summary="No events from {subject} for {value}",
            advice="A tracker was removed, its write key was changed, or it does not reach the gateway. Check the page "
            "or the service that sends, and `attentive-gateway refusals list`.",
        ),
        Rule(
            "source_drop",
            "a source sent less by this share in the last full hour than in that hour one and two weeks ago, which "
            "had at least 100 events",
            ("source",),
            Unit.SHARE,
            Thresholds(warning=0.8, critical=None),
            summary="Events from {subject} have dropped by {value}",
            advice="Compared with the same hour of the last two weeks. A page or an app may have lost its tracker, or "
            "part of its visitors.",
            prometheus="1 - sum by (source) (increase(gateway_events_accepted_total{{of}}[1h])) / "
            "(sum by (source) (increase(gateway_events_accepted_total{{of}}[1h] offset 1w)) > 100)",
        ),
        Rule(
            "no_purchases",
            "a destination that has had purchases has had none for so long",
            _OF,
            Unit.SECONDS,
            Thresholds(warning=DAY_S, critical=None),
            summary="No purchases for {subject} for {value}",
            advice="The checkout's tracker may be broken, or its purchases are refused or dropped. Post one through "
            "the shop, and find it with `attentive-gateway events list`.",
        ),
        Rule(
            "suspicious_ids",
            "so many links were blocked within 15 minutes because too many people share an identifier",
            ("destination", "source"),
            Unit.COUNT,
            Thresholds(warning=10, critical=None),
            summary="Too many people share an identifier that {subject} sends ({value} links blocked)",
            advice="Such an identifier would merge strangers. `attentive-gateway identities suspicious` lists them, "
            "masked: correct the tracker that sends them.",
            prometheus="sum by (destination, source) "
            '(increase(gateway_identity_merges_total{{of},verdict="shared"}[15m]))',
        ),
        Rule(
            "attributes_many",
            "an account has so many custom attributes",
            _OF,
            Unit.COUNT,
            Thresholds(warning=90, critical=99),
            summary="{subject} has {value} custom attributes of 100",
            advice="From 100 on, Attentive takes no new ones. `attentive-gateway attributes list` shows them; send "
            "fewer traits, or deny some in `privacy`.",
            prometheus="max by (destination) (gateway_attributes{{of}})",
        ),
        Rule(
            "event_keys_many",
            "one custom event type has so many property names",
            _OF,
            Unit.COUNT,
            Thresholds(warning=160, critical=199),
            summary="A custom event of {subject} has {value} property names",
            advice="Attentive's journeys use the first 200 of a type. `attentive-gateway destinations show NAME` lists "
            "the largest types; names that hold values, such as IDs, belong into values.",
            prometheus="max by (destination) (gateway_event_type_keys{{of}})",
        ),
        Rule(
            "app_changed",
            "the token belongs to another Attentive app than the one that made the event types",
            _OF,
            Unit.SWITCH,
            Thresholds(warning=None, critical=0.5),
            summary="The token of {subject} belongs to another Attentive app",
            advice="Journeys on event types of the first app do not start. Use its token, or run `attentive-gateway "
            "destinations keep NAME`.",
            prometheus="max by (destination) (gateway_app_changed{{of}})",
        ),
        Rule(
            "erasure_overdue",
            "the oldest request to erase a person is open for so long",
            _OF,
            Unit.SECONDS,
            Thresholds(warning=30 * DAY_S, critical=44 * DAY_S),
            summary="An erasure for {subject} is open for {value}",
            advice="Laws allow 30 to 45 days. `attentive-gateway receipts list` shows what each erasure waits for.",
        ),
        Rule(
            "erasure_delayed",
            "a request to erase a person is not carried out in the gateway for so long",
            _OF,
            Unit.SECONDS,
            Thresholds(warning=HOUR_S, critical=DAY_S),
            summary="An erasure for {subject} has not been carried out for {value}",
            advice="The gateway erases a person within seconds. The log of the workers has `erasure.crashed` or "
            "`erasures.interrupted` with the reason.",
        ),
        Rule(
            "sync_failed",
            "the last run of a sync could not read its source, or a bulk job of it failed",
            ("destination", "sync"),
            Unit.SWITCH,
            Thresholds(warning=0.5, critical=None),
            summary="The sync {subject} has failed",
            advice="`attentive-gateway sync status NAME` shows the reason. Correct the source, and run it again.",
        ),
        Rule(
            "sync_stopped",
            "a guard stopped the last run of a sync",
            ("destination", "sync"),
            Unit.SWITCH,
            Thresholds(warning=0.5, critical=None),
            summary="The sync {subject} was stopped by a guard, and sends nothing",
            advice="It would remove too many people, or its source or its state is not that of the last run. Look with "
            "`attentive-gateway sync status NAME`, then approve it or correct the source.",
        ),
        Rule(
            "lag_burns_fast",
            "the error budget of the lag objective burns so many times too fast, over 1 hour and over 5 minutes",
            ("destination", "priority"),
            Unit.COUNT,
            Thresholds(warning=None, critical=14.4),
            summary="Calls of {subject} are late: their error budget burns {value} times too fast",
            advice="At this speed it is used up within 2 days. Wait for Attentive's limit does not count: see whether "
            "workers run, are busy or are held. `attentive-gateway slo` shows the figures.",
            prometheus='max by (destination, priority) (gateway_lag_burn_rate{{of},window="fast"})',
        ),
        Rule(
            "lag_burns_slowly",
            "the error budget of the lag objective burns so many times too fast, over 6 hours and over 30 minutes",
            ("destination", "priority"),
            Unit.COUNT,
            Thresholds(warning=6, critical=None),
            summary="Calls of {subject} are late: their error budget burns {value} times too fast",
            advice="At this speed it is used up within 5 days. `attentive-gateway slo` shows the figures.",
            prometheus='max by (destination, priority) (gateway_lag_burn_rate{{of},window="slow"})',
        ),
        Rule(
            "redis_memory",
            "Redis uses this share of its maxmemory",
            (),
            Unit.SHARE,
            Thresholds(warning=0.8, critical=0.9, for_s=60),
            summary="Redis uses {value} of its memory",
            advice="When it is nearly full, the gateway answers 503 so that trackers keep what they have. Find what "
            "grows: the backlog, dead letters, or the traffic itself.",
            prometheus="max(gateway_redis_memory_used_bytes{{of}}) / max(gateway_redis_memory_max_bytes{{of}} > 0)",
        ),
        Rule(
            "redis_not_durable",
            "Redis may lose events that it has acknowledged",
            (),
            Unit.SWITCH,
            Thresholds(warning=0.5, critical=None, for_s=60),
            summary="Redis may lose events that it has acknowledged",
            advice="It has neither an append-only file nor a replica, or its maxmemory-policy deletes keys. "
            "`redis.not_durable` in the log has the reason; see docs/production.md.",
        ),
        Rule(
            "config_bad",
            "a process found a configuration that it cannot use",
            ("pod",),
            Unit.SWITCH,
            Thresholds(warning=None, critical=0.5),
            prometheus_for_s=120,
            summary="{subject} cannot use its new configuration",
            advice="It goes on with the old one, but a process that starts now ends at once. `config.reload_failed` in "
            "its log names the mistake and its line.",
            prometheus="1 - min by (pod) (gateway_config_last_reload_successful{{of}})",
        ),
        Rule(
            "destination_removed",
            "calls wait for a destination that was removed from the configuration",
            _OF,
            Unit.COUNT,
            Thresholds(warning=0, critical=None, for_s=300),
            summary="{value} calls wait for {subject}, which is no longer configured",
            advice="They are kept, and sent once the destination is back in the configuration.",
            prometheus="max by (destination) (gateway_config_removed_destination_deliveries{{of}})",
        ),
        Rule(
            "sign_in_failures",
            "so many sign-ins to the console failed within 15 minutes",
            (),
            Unit.COUNT,
            Thresholds(warning=10, critical=100),
            summary="{value} sign-ins to the console failed in 15 minutes",
            advice="A password is being guessed, or a user has forgotten it. The audit log of the console has the "
            "users and the times.",
        ),
        Rule(
            "redis_away",
            "a gateway does not reach Redis",
            ("pod",),
            Unit.SWITCH,
            Thresholds(warning=None, critical=0.5, for_s=30),
            prometheus_for_s=120,
            summary="{subject} does not reach Redis",
            advice="Without Redis, gateways answer 503 and workers send nothing. Bring Redis back first: gateways and "
            "workers need no restart.",
            prometheus="1 - min by (pod) (gateway_redis_up{{of}})",
            evaluator=Evaluator.GATEWAYS,
        ),
        Rule(
            "workers_gone",
            "no worker has evaluated the alerts for so long",
            (),
            Unit.SECONDS,
            Thresholds(warning=None, critical=60),
            summary="No worker runs: nothing has been evaluated for {value}",
            advice="Nothing is sent to Attentive, and no other alert is evaluated. Events are kept. Start a worker; "
            "the last line of its log shows why one ended.",
            evaluator=Evaluator.GATEWAYS,
        ),
        Rule(
            "absent",
            "no metrics are scraped",
            (),
            Unit.SWITCH,
            Thresholds(warning=None, critical=0.5, for_s=300),
            summary="No metrics of attentive-gateway are seen",
            advice="No process runs, or Prometheus does not reach them. If one does not start, the last line of its "
            "log shows the reason.",
            prometheus="absent(gateway_redis_up{{of}})",
            evaluator=Evaluator.PROMETHEUS,
        ),
    )
}


def shown(unit: Unit, value: float) -> str:
    """A value for people: "25 min", "83 %", "1,204"."""
    match unit:
        case Unit.SHARE:
            return f"{value:.0%}".replace("%", " %") if value >= 0.1 else f"{value:.1%}".replace("%", " %")
        case Unit.SECONDS:
            return span(value)
        case _:
            return f"{value:,.0f}"


def span(seconds: float) -> str:
    """A time for people, in its largest unit of which there are at least two."""
    for length, name in ((DAY_S, "d"), (HOUR_S, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
