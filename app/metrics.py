"""Every metric, named once. Exact figures are kept in Redis (delivery/counters.py) and read on request."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.tally import CounterTally, HistogramTally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a useless second series for each counter


class _Row(NamedTuple):
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    help: str
    labels: tuple[str, ...]


def _counter(name: str, text: str, *labels: str) -> _Row:
    return _Row(CounterMetricFamily, name, text, labels)


def _gauge(name: str, text: str, *labels: str) -> _Row:
    return _Row(GaugeMetricFamily, name, text, labels)


class IngestMetrics:
    """Metrics of the intake."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = CounterTally(
            "gateway_http_requests", "Tracking requests answered", ["path", "status"], registry=registry
        )
        self._seconds = HistogramTally(
            "gateway_http_request_seconds", "Time to answer a tracking request", buckets=_SECONDS, registry=registry
        )
        self._refused = Counter(
            "gateway_refused", "Requests, or events of batches, refused at intake", ["code"], registry=registry
        )
        self._limits = Counter(
            "gateway_limits_reached",
            "Limits that a request or a connection reached, by source if it is known",
            ["limit", "source"],
            registry=registry,
        )
        self._accepted = CounterTally(
            "gateway_events_accepted",
            "Events accepted, by source and write key",
            ["source", "key", "retiring"],
            registry=registry,
        )
        self._withheld = Counter(
            "gateway_privacy_withheld",
            "Fields withheld by the privacy guard, by source, check and action",
            ["source", "check", "action"],
            registry=registry,
        )
        self._enriched = Counter(
            "gateway_events_enriched",
            "Events whose identity was completed from a stored profile, by source",
            ["source"],
            registry=registry,
        )

    def totals(self) -> dict[tuple[str, ...], int]:
        """What this process has counted, for the reports of alerts (alerts/reports.py). The labels are its parts."""
        totals: dict[tuple[str, ...], int] = {}
        for (_, status), number in self._requests.counts.items():
            for name in ("all", *(["5xx"] if status.startswith("5") else [])):
                totals["answered", name] = totals.get(("answered", name), 0) + number
        for (source, _, _), number in self._accepted.counts.items():
            totals["accepted", source] = totals.get(("accepted", source), 0) + number
        for kind, counter in (("limit", self._limits), ("refused", self._refused)):
            for sample in next(iter(counter.collect())).samples:
                totals[(kind, *sample.labels.values())] = int(sample.value)
        return totals

    def answered(self, path: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.counts[path, str(status)] += 1
        self._seconds.observe(seconds)

    def accepted(self, source: str, key_number: int, events: int, *, retiring: bool) -> None:
        """Events of one request were stored."""
        self._accepted.counts[source, str(key_number), "true" if retiring else "false"] += events

    def withheld(self, source: str, check: str, action: str) -> None:
        """The privacy guard withheld a value."""
        self._withheld.labels(source, check, action).inc()

    def enriched(self, source: str, events: int) -> None:
        """The identity of these events was completed from stored profiles."""
        self._enriched.labels(source).inc(events)

    def limit_reached(self, limit: str, source: str) -> None:
        """A limit was reached."""
        self._limits.labels(limit, source).inc()

    def refused(self, code: str) -> None:
        """A request or an event was refused."""
        self._refused.labels(code).inc()


class ConfigMetrics:
    """Metrics of a process's configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = Counter(
            "gateway_config_reloads",
            "Configuration reloads by result: ok (applied) or failed (the old configuration stays)",
            ["result"],
            registry=registry,
        )
        self._good = Gauge(
            "gateway_config_last_reload_successful", "0 while the configuration file is invalid", registry=registry
        )
        self._info = Gauge(
            "gateway_config_info",
            "1 for the configuration file in use, by its sha256sum",
            ["sha256"],
            registry=registry,
        )
        self._orphans = Gauge(
            "gateway_config_removed_destination_deliveries",
            "Calls waiting for a destination that was removed from the configuration; they are kept",
            ["destination"],
            registry=registry,
        )
        for result in ("ok", "failed"):
            self._reloads.labels(result)

    def runs(self, sha256: str) -> None:
        """This configuration is in use."""
        self._good.set(1)
        self._info.clear()
        self._info.labels(sha256).set(1)

    def reloaded(self, sha256: str) -> None:
        """A new configuration was applied."""
        self._reloads.labels("ok").inc()
        self.runs(sha256)

    def failed(self) -> None:
        """A new configuration is invalid."""
        self._reloads.labels("failed").inc()
        self._good.set(0)

    def removed(self, waiting: Mapping[str, int]) -> None:
        """Destinations that were removed, with the calls that wait for them."""
        self._orphans.clear()
        for destination, calls in waiting.items():
            self._orphans.labels(destination).set(calls)


class DeliveryMetrics:
    """Metrics of a worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "gateway_attempts",
            "Calls to Attentive, by endpoint and answer (a status, or 'unreachable')",
            ["destination", "endpoint", "answer"],
            registry=registry,
        )
        self._seconds = Histogram(
            "gateway_attempt_seconds", "Response time of Attentive", ["endpoint"], buckets=_SECONDS, registry=registry
        )
        self._age = Histogram(
            "gateway_delivery_age_seconds",
            "Time from the receipt of an event until Attentive accepted its call",
            buckets=(*_SECONDS, 60.0, 600.0, 3600.0, 43200.0, 86400.0),
            registry=registry,
        )
        self._by_answer: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def attempted(self, destination: str, endpoint: str, answer: str, seconds: float) -> None:
        """One call was answered, or got no answer."""
        found = self._by_answer.get((destination, endpoint, answer))
        if found is None:
            found = self._attempts.labels(destination, endpoint, answer), self._seconds.labels(endpoint)
            self._by_answer[destination, endpoint, answer] = found
        attempts, took = found
        attempts.inc()
        took.observe(seconds)

    def delivered(self, age_s: float) -> None:
        """A delivery was accepted, at this age of its event."""
        self._age.observe(max(0.0, age_s))


class TraceMetrics:
    """Metrics of the traces of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._spans = Counter(
            "gateway_trace_spans",
            "Spans by result: exported, failed (the collector did not take them) or dropped (too many waited)",
            ["result"],
            registry=registry,
        )
        self._by_result: dict[str, Counter] = {}

    def ended(self, result: str, spans: int) -> None:
        """These spans have left the queue, or found it full."""
        found = self._by_result.get(result)
        if found is None:
            found = self._by_result[result] = self._spans.labels(result)
        found.inc(spans)


class Family(Enum):
    """A metric that is read from Redis for each page, see gauges.py: its type, name, help and labels."""

    REDIS_UP = _gauge("gateway_redis_up", "1 if Redis answered this request")
    REDIS_MEMORY_USED = _gauge("gateway_redis_memory_used_bytes", "Memory in use by Redis")
    REDIS_MEMORY_MAX = _gauge("gateway_redis_memory_max_bytes", "Redis' maxmemory; 0: no limit")

    RECEIVED = _counter("gateway_events_received", "Events received", "destination")
    REPLAYED = _counter("gateway_events_replayed", "Dead letters sent again", "destination")
    ENDED = _counter(
        "gateway_events_ended",
        "Ended events, by ending (delivered, dropped, dead_lettered or unknown) and reason",
        *("destination", "ending", "reason"),
    )
    WAITING = _gauge("gateway_events_waiting", "Events that have not ended yet", "destination")
    UNCHANGED = _counter(
        "gateway_calls_unchanged", "Calls skipped because Attentive already has their content", "destination"
    )
    UNKNOWN = _counter(
        "gateway_unknown_outcomes",
        "Calls that Attentive may or may not have processed, by what followed; send_again: possible duplicates",
        *("destination", "endpoint", "then"),
    )
    EVICTED = _counter(
        "gateway_dead_letters_evicted",
        "Dead letters deleted because of their age (age) or their source's share (share)",
        *("destination", "queue", "why", "source"),
    )
    JOURNAL_TRIMMED = _counter(
        "gateway_journal_trimmed",
        "Journal entries deleted because the journal took too many bytes, by the source that filled it",
        *("destination", "source"),
    )
    ATTRIBUTES = _gauge("gateway_attributes", "Number of custom attributes in an account", "destination")
    LEFT_OUT = _counter(
        "gateway_attributes_left_out",
        "Values of custom attributes left out: another 'type', 'refused' by Attentive, or too many 'names'",
        *("destination", "reason", "attribute"),
    )
    LARGE = _counter("gateway_calls_large", "Calls of more than 256 KiB that were sent", "destination", "endpoint")
    MERGES = _counter(
        "gateway_identity_merges",
        "Links that would merge people, by verdict: send, block, or shared (blocked: too many share an identifier)",
        *("destination", "source", "verdict"),
    )
    MISSED = _counter(
        "gateway_journeys_missed",
        "Calls accepted too late to start a journey: their event 'arrived' late, or they 'waited' too long",
        *("destination", "cause"),
    )

    EVENT_KEYS = _gauge(
        "gateway_event_type_keys",
        "Number of property names of the largest custom event type; journeys use 200",
        "destination",
    )
    LONG_URLS = _counter("gateway_urls_long", "Calls with a URL longer than Attentive shortens", "destination")
    APP_CHANGED = _gauge(
        "gateway_app_changed",
        "1 while the token belongs to another Attentive app than the one that created the event types",
        "destination",
    )

    ERASURES = _counter(
        "gateway_erasures",
        "Erasures of people, by state: begun, done, or incomplete (Attentive refused, or never confirmed)",
        *("destination", "state"),
    )
    ERASURES_OPEN = _gauge("gateway_erasures_open", "Erasures in progress", "destination")

    DEAD_LETTERS = _gauge(
        "gateway_dead_letters", "Dead letters that were neither replayed nor deleted yet", "destination"
    )
    IN_REVIEW = _gauge(
        "gateway_unknown_outcomes_in_review", "Calls of unknown outcome that are in review", "destination"
    )
    OLDEST_DEAD_LETTER = _gauge(
        "gateway_dead_letters_oldest_seconds",
        "Age of the oldest dead letter (queue dead) or call in review (queue review); 0 if there is none",
        *("destination", "queue"),
    )
    DEAD_LETTERS_FILL = _gauge(
        "gateway_dead_letters_fill_ratio",
        "Used share of a dead letter limit (maximum age, or a source's number or bytes), whichever is "
        "largest; at 1 the oldest are deleted",
        *("destination", "queue"),
    )
    DEAD_LETTERS_SIZE = _gauge(
        "gateway_dead_letters_bytes",
        "Size of the dead letters (queue dead) and calls in review (queue review) of a source",
        *("destination", "queue", "source"),
    )

    LAG_CALLS = _counter(
        "gateway_lag_calls",
        "Fresh calls by when they were sent: 'in_time', or late because of Attentive's limit ('limited'), a hold "
        "('held'), or us ('late')",
        *("destination", "priority", "verdict"),
    )
    LAG_BURN = _gauge(
        "gateway_lag_burn_rate",
        "How fast the error budget of the lag objective is used; 1: it lasts for 30 days. Windows: fast (1 h and "
        "5 min), slow (6 h and 30 min)",
        *("destination", "priority", "window"),
    )
    LAG_OBJECTIVE = _gauge(
        "gateway_lag_objective_ratio",
        "Share of calls that the lag objective requires to be in time",
        *("destination", "priority"),
    )

    PROFILES = _gauge(
        "gateway_profiles",
        "Estimated number of user IDs (and anonymous IDs, if used) with a stored profile",
        *("destination", "source"),
    )

    DEPTH = _gauge(
        "gateway_deliveries_waiting",
        "Calls waiting for Attentive, by lane and priority ('stale': too old for journeys; 'retry': awaiting a retry)",
        *("destination", "endpoint", "priority"),
    )
    OLDEST_WAITING = _gauge(
        "gateway_oldest_waiting_seconds",
        "Time since the oldest call at the head of a lane was received; 0 for an empty lane",
        *("destination", "endpoint"),
    )
    RATE = _gauge(
        "gateway_lane_rate",
        "Calls per second that a lane's pace allows now; 0 while nothing may be sent",
        *("destination", "endpoint"),
    )
    HELD = _gauge(
        "gateway_held",
        "1 while nothing may be sent to this endpoint, or without an endpoint: to this destination",
        *("destination", "endpoint"),
    )
    SENDABLE_WORK = _gauge(
        "gateway_sendable_work_seconds",
        "How busy one worker would be in the next 10 s, given Attentive's rate limits",
        "destination",
    )
    SOURCE_BACKLOG = _gauge("gateway_source_backlog", "Calls waiting for Attentive, by source", "destination", "source")

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        """The metric without values."""
        kind, name, text, labels = self.value
        return kind(name, text, labels=labels)


class Readings:
    """The values of one page that are read from Redis. A metric of `families` without values is on the page, too."""

    def __init__(self, families: Iterable[Family] = Family) -> None:
        self._families = {family: family.empty() for family in families}

    def add(self, family: Family, value: float, *labels: str) -> None:
        """Add one value, with its labels in the order of the table."""
        self._families[family].add_metric(labels, value)

    def collect(self) -> Sequence[Metric]:
        """All metrics, as a registry asks for them."""
        return list(self._families.values())


def page(registry: CollectorRegistry, readings: Readings) -> bytes:
    """The text that a Prometheus server reads: this process's own metrics, and those that were read from Redis."""
    whole = CollectorRegistry()
    whole.register(readings)
    return generate_latest(registry) + generate_latest(whole)
