"""From the settings to the intake, and to what watches it: the log of refusals and the gateway's alerts."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from app.alerts.gateway_watch import GatewayWatch
from app.alerts.reports import ProcessReport, RequestReport
from app.config.topology import Topology
from app.delivery.accounts.attributes import KnownAttributes
from app.delivery.journal.refusals import store_refusals
from app.delivery.outbox import Outbox
from app.delivery.pressure import PressureGauge
from app.delivery.sharded_outbox import ShardedOutbox
from app.ingest.admission import Admission, Ceilings
from app.ingest.auth import WriteKeys
from app.ingest.intake import Intake, Limits
from app.ingest.limits import LimitMonitor
from app.ingest.refusal_log import RefusalLog
from app.ingest.traced_intake import TracedIntake
from app.metrics import IngestMetrics
from app.profiles.lookup import ProfileLookup
from app.reload import Reload
from app.settings import Settings
from app.store.connection import Redis
from app.wiring.alerts import AlertPlans
from app.wiring.gateway import destination_by_source
from app.wiring.traces import Tracing


def intake_of(
    settings: Settings,
    redis: Redis,
    tracing: Tracing | None,
    *,
    write_keys: WriteKeys,
    outbox: Outbox | ShardedOutbox,
    gauge: PressureGauge,
    metrics: IngestMetrics,
    monitor: LimitMonitor,
    attributes: KnownAttributes,
    refusals: RefusalLog,
) -> Intake:
    """The intake. With tracing, it records the requests that are traced."""
    ceilings = Ceilings(settings.max_backlog_events, settings.max_backlog_bytes, settings.max_memory_share)
    return (Intake if tracing is None else partial(TracedIntake, emit=tracing.emit, share=tracing.share))(
        write_keys=write_keys,
        outbox=outbox,
        profiles=ProfileLookup(redis),
        admission=Admission(ceilings, gauge.now),
        limits=Limits(settings.max_body_bytes, settings.max_event_bytes, settings.max_batch_events),
        metrics=metrics,
        monitor=monitor,
        attributes=attributes,
        refusals=refusals,
    )


def refusals_of(settings: Settings, redis: Redis, topology: Callable[[], Topology]) -> RefusalLog:
    """The log of refusals, which Redis keeps as long as the journal."""
    return RefusalLog(
        partial(
            store_refusals,
            redis,
            keep=timedelta(hours=settings.journal_hours),
            destinations=lambda: destination_by_source(topology()),
            journal_entries=settings.journal_entries,
        )
    )


def gateway_watch_of(redis: Redis, reload: Reload, metrics: IngestMetrics) -> GatewayWatch:
    """The alerts of a gateway process."""
    return GatewayWatch(
        redis,
        AlertPlans(lambda: reload.running.topology).now,
        RequestReport(redis, metrics.totals),
        ProcessReport(redis, "gateway", reload.status),
    )
