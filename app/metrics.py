"""Every metric, named once. What must be exact is kept in Redis (delivery/books.py) and read when asked."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of use to nobody


class IngestMetrics:
    """What the door sees."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "gateway_http_requests", "Tracking requests answered", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "gateway_http_request_seconds", "Time to answer a tracking request", buckets=_SECONDS, registry=registry
        )
        self._refused = Counter(
            "gateway_refused", "Requests, or events of batches, refused at the door", ["code"], registry=registry
        )
        self._accepted = Counter(
            "gateway_events_accepted",
            "Events accepted, by source and by which of its write keys was used",
            ["source", "key", "retiring"],
            registry=registry,
        )
        self._withheld = Counter(
            "gateway_privacy_withheld",
            "Fields withheld by the privacy guard, by what for and what was done",
            ["source", "check", "action"],
            registry=registry,
        )
        self._enriched = Counter(
            "gateway_events_enriched",
            "Events to which memory added whom they are about, by source",
            ["source"],
            registry=registry,
        )
        self._by_key: dict[tuple[str, int], Counter] = {}
        self._by_answer: dict[tuple[str, int], Counter] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """One request was answered."""
        counter = self._by_answer.get((path, status))
        if counter is None:
            counter = self._by_answer[path, status] = self._requests.labels(path, str(status))
        counter.inc()
        self._seconds.observe(seconds)

    def accepted(self, source: str, key_number: int, events: int, *, retiring: bool) -> None:
        """Events of one request were kept."""
        counter = self._by_key.get((source, key_number))
        if counter is None:
            counter = self._accepted.labels(source, str(key_number), str(retiring).lower())
            self._by_key[source, key_number] = counter
        counter.inc(events)

    def withheld(self, source: str, check: str, action: str) -> None:
        """The privacy guard withheld something."""
        self._withheld.labels(source, check, action).inc()

    def enriched(self, source: str, events: int) -> None:
        """Memory knew the people of these events."""
        self._enriched.labels(source).inc(events)

    def refused(self, code: str) -> None:
        """A request or an event was refused."""
        self._refused.labels(code).inc()


class ConfigMetrics:
    """What a process knows of its configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = Counter(
            "gateway_config_reloads",
            "Configurations found after the start: ok were put to use, failed changed nothing",
            ["result"],
            registry=registry,
        )
        self._good = Gauge(
            "gateway_config_last_reload_successful", "0 while the configuration cannot be used", registry=registry
        )
        self._info = Gauge(
            "gateway_config_info", "1 for the file that runs, by its sha256sum", ["sha256"], registry=registry
        )
        self._orphans = Gauge(
            "gateway_config_removed_destination_deliveries",
            "Calls that waited for a destination when the configuration lost it; they are kept",
            ["destination"],
            registry=registry,
        )
        for result in ("ok", "failed"):
            self._reloads.labels(result)

    def runs(self, sha256: str) -> None:
        """This is what runs now."""
        self._good.set(1)
        self._info.clear()
        self._info.labels(sha256).set(1)

    def reloaded(self, sha256: str) -> None:
        """What was found has taken the place of what ran."""
        self._reloads.labels("ok").inc()
        self.runs(sha256)

    def failed(self) -> None:
        """What was found cannot be used."""
        self._reloads.labels("failed").inc()
        self._good.set(0)

    def removed(self, waiting: Mapping[str, int]) -> None:
        """Destinations that are gone, with the calls that wait for them."""
        self._orphans.clear()
        for destination, calls in waiting.items():
            self._orphans.labels(destination).set(calls)


class DeliveryMetrics:
    """What a worker sees."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "gateway_attempts",
            "Calls to Attentive, by endpoint and answer (a status, or 'unreachable')",
            ["destination", "endpoint", "answer"],
            registry=registry,
        )
        self._seconds = Histogram(
            "gateway_attempt_seconds", "Time Attentive took", ["endpoint"], buckets=_SECONDS, registry=registry
        )
        self._age = Histogram(
            "gateway_delivery_age_seconds",
            "Time from an event's receipt to Attentive's acceptance",
            buckets=(*_SECONDS, 60.0, 600.0, 3600.0, 43200.0, 86400.0),
            registry=registry,
        )
        self._by_answer: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def attempted(self, destination: str, endpoint: str, answer: str, seconds: float) -> None:
        """One call was answered, or not."""
        found = self._by_answer.get((destination, endpoint, answer))
        if found is None:
            found = self._attempts.labels(destination, endpoint, answer), self._seconds.labels(endpoint)
            self._by_answer[destination, endpoint, answer] = found
        attempts, took = found
        attempts.inc()
        took.observe(seconds)

    def delivered(self, age_s: float) -> None:
        """A delivery was accepted this long after its event came in."""
        self._age.observe(max(0.0, age_s))


def page(registry: CollectorRegistry, families: Sequence[Metric]) -> bytes:
    """The text a Prometheus server reads: this process's own metrics and `families` read elsewhere."""
    whole = CollectorRegistry()
    whole.register(_Given(families))
    return generate_latest(registry) + generate_latest(whole)


class _Given:
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def events_family() -> tuple[CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
    """Empty families for the books: received, replayed, ended (by ending and reason), waiting."""
    return (
        CounterMetricFamily("gateway_events_received", "Events taken in", labels=["destination"]),
        CounterMetricFamily("gateway_events_replayed", "Dead letters sent again", labels=["destination"]),
        CounterMetricFamily(
            "gateway_events_ended",
            "Events by how they ended: delivered, dropped, dead_lettered or unknown, and why",
            labels=["destination", "ending", "reason"],
        ),
        GaugeMetricFamily("gateway_events_waiting", "Events that have not ended yet", labels=["destination"]),
    )


def unchanged_family() -> CounterMetricFamily:
    """An empty family for the calls that were spared."""
    return CounterMetricFamily(
        "gateway_calls_unchanged", "Calls left out: they say what Attentive already knows", labels=["destination"]
    )


def unknown_family() -> CounterMetricFamily:
    """An empty family for the calls that Attentive may have acted on or not."""
    return CounterMetricFamily(
        "gateway_unknown_outcomes",
        "Calls that Attentive may have acted on or not, by what followed; send_again: the possible duplicates",
        labels=["destination", "endpoint", "then"],
    )


def attributes_family() -> tuple[GaugeMetricFamily, CounterMetricFamily]:
    """Empty families for custom attributes: how many an account has, and values that it could not take."""
    return (
        GaugeMetricFamily("gateway_attributes", "Custom attributes of an account, by name", labels=["destination"]),
        CounterMetricFamily(
            "gateway_attributes_left_out",
            "Values of custom attributes left out: of another 'type' than the attribute's, or of too many 'names'",
            labels=["destination", "reason", "attribute"],
        ),
    )


def deletions_family() -> tuple[CounterMetricFamily, GaugeMetricFamily]:
    """Empty families for deletions: by how far they came, and those under way."""
    return (
        CounterMetricFamily(
            "gateway_deletions",
            "Deletions of people, by state: begun, done, or incomplete (Attentive refused, or never confirmed)",
            labels=["destination", "state"],
        ),
        GaugeMetricFamily("gateway_deletions_open", "Deletions that are not at their end", labels=["destination"]),
    )


def large_family() -> CounterMetricFamily:
    """An empty family for calls that Attentive may find too large."""
    return CounterMetricFamily(
        "gateway_calls_large", "Calls of more than 256 KiB that were sent", labels=["destination", "endpoint"]
    )


def joins_family() -> CounterMetricFamily:
    """An empty family for identify calls that would make two people one, by what was done with them."""
    return CounterMetricFamily(
        "gateway_joins",
        "Identify calls that name identifiers of two known people, by verdict: send or hold",
        labels=["destination", "source", "verdict"],
    )


def people_family() -> GaugeMetricFamily:
    """An empty family for how much memory knows."""
    return GaugeMetricFamily(
        "gateway_people_remembered",
        "User ids (and anonymous ids, where they are) under which memory knows somebody; an estimate",
        labels=["destination", "source"],
    )


def depth_family() -> GaugeMetricFamily:
    """An empty family for what waits in the lanes."""
    return GaugeMetricFamily(
        "gateway_deliveries_waiting",
        "Calls waiting for Attentive, by lane and priority ('stale': too old for journeys; 'retry': for a new attempt)",
        labels=["destination", "endpoint", "priority"],
    )


def kept_family() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Empty families for what waits for an operator: dead letters, and calls held for review."""
    return (
        GaugeMetricFamily(
            "gateway_dead_letters", "Dead letters kept: neither replayed nor purged yet", labels=["destination"]
        ),
        GaugeMetricFamily(
            "gateway_unknown_outcomes_held",
            "Calls of unknown outcome held for review: not resolved yet",
            labels=["destination"],
        ),
    )


def retention_family() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Empty families for how near the letters are to what is kept at the most."""
    return (
        GaugeMetricFamily(
            "gateway_dead_letters_oldest_seconds",
            "Age of the oldest dead letter (shelf dead) or call held for review (unknown); 0 when there is none",
            labels=["destination", "shelf"],
        ),
        GaugeMetricFamily(
            "gateway_dead_letters_fill_ratio",
            "Share of the letters, or of the age, that is kept at the most, the larger one; at 1 the oldest are let go",
            labels=["destination", "shelf"],
        ),
    )


def let_go_family() -> CounterMetricFamily:
    """An empty family for the letters that were too old or too many."""
    return CounterMetricFamily(
        "gateway_dead_letters_let_go",
        "Letters deleted because they were too old (age) or too many (number), see GATEWAY_DEAD_LETTER_DAYS",
        labels=["destination", "shelf", "why"],
    )


def oldest_family() -> GaugeMetricFamily:
    """An empty family for the age of what waits."""
    return GaugeMetricFamily(
        "gateway_oldest_waiting_seconds",
        "Time since the oldest call at the head of a lane came in; 0 for an empty lane",
        labels=["destination", "endpoint"],
    )


def rate_family() -> GaugeMetricFamily:
    """An empty family for the paces."""
    return GaugeMetricFamily(
        "gateway_lane_rate",
        "Calls per second that a lane's pace allows now; 0 while nothing may be sent",
        labels=["destination", "endpoint"],
    )


def held_family() -> GaugeMetricFamily:
    """An empty family for holds."""
    return GaugeMetricFamily(
        "gateway_held",
        "1 while nothing may be sent to this endpoint, or without an endpoint: to this destination",
        labels=["destination", "endpoint"],
    )


def sendable_family() -> GaugeMetricFamily:
    """An empty family for what the number of workers follows, see delivery/workload.py."""
    return GaugeMetricFamily(
        "gateway_sendable_work_seconds",
        "Time one worker would need for what the lanes would let out within the next 10 s",
        labels=["destination"],
    )


def redis_up(up: bool) -> GaugeMetricFamily:
    """Whether Redis answered just now."""
    return GaugeMetricFamily("gateway_redis_up", "1 when Redis answered this very request", value=up)


def redis_memory_family() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Empty families for Redis' memory: used, and its limit."""
    return (
        GaugeMetricFamily("gateway_redis_memory_used_bytes", "Memory that Redis has taken"),
        GaugeMetricFamily("gateway_redis_memory_max_bytes", "Redis' maxmemory; 0: no limit"),
    )
