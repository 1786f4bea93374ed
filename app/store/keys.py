"""Every Redis key, spelled once. All keys of a destination share its hash tag, so that one script can use them."""

import zlib
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, overload

# Keeps all keys of arq in one slot. arq uses a key `arq:abort` beside those of each job, so its text is the tag.
ARQ_TAG: Final = "{arq:abort}"
ARQ_QUEUE: Final = f"{ARQ_TAG}:queue"
GROUP: Final = "workers"  # the consumer group of every lane stream
OPTED_OUT_LIFE_S: Final = 10 * 366 * 86_400
LAST_SENT_LIFE_S: Final = 30 * 86_400  # after this, a repeated call is sent again
# Hashes that share the fingerprints of a destination, and as many that share its contacts. With two of each for ten
# million people, a hash has 76: Redis keeps up to 512 small fields in one block of memory, almost without overhead.
LAST_SENT_HASHES: Final = 2**18
FINGERPRINTS: Final = "fingerprints:"  # begins the names of these hashes, in place of a person
CONTACT_HASHES: Final = LAST_SENT_HASHES
_READ_IN_ORDER: Final = ("high", "normal", "low", "stale")
# The streams of every lane: those of trusted sources, in the order in which they are read, and those of public ones.
STREAMS: Final = (*_READ_IN_ORDER, *(f"public-{name}" for name in _READ_IN_ORDER))
FIRST_PUBLIC_STREAM: Final = len(_READ_IN_ORDER)
CONSUMER: Final = "drain"  # one name for all: a lane has one drain at a time, and the next one reclaims what is pending
SEEN_BUCKET_S: Final = 8 * 3600
ROWS_PREFIX: Final = "sync:"  # begins the name of the source of a sync's events; no other source has a colon
APPLIED_KEY: Final = "gateway:config"  # the last configuration that a process put to use, without its secrets
SEEN_BUCKETS: Final = 4  # this one and three before it: a message id is remembered for 24 to 32 hours


def refusals_key(source: str) -> str:
    """Stream: recent refusals of this source's requests. An empty name stands for unknown senders."""
    return f"gateway:refusals:{source}"


class _Prefixed(Protocol):
    @property
    def prefix(self) -> str: ...


class _Key:
    """A key that has a constant name, of one part or more, below its owner's prefix."""

    def __init__(self, *parts: str) -> None:
        self._end = "".join(f":{part}" for part in parts)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...

    @overload
    def __get__(self, owner: _Prefixed, kind: type) -> str: ...

    def __get__(self, owner: _Prefixed | None, kind: type) -> Self | str:
        return self if owner is None else owner.prefix + self._end


@dataclass(frozen=True, slots=True)
class DestinationKeys:
    """The keys that a destination's lanes share."""

    destination: str
    prefix: str = field(init=False, repr=False, compare=False)  # the hash tag that keeps these keys on one Redis node

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", f"{{{self.destination}}}")

    counters = _Key("counters")  # hash: how many events were received, and how they ended
    journal = _Key("journal")  # stream: what happened to recent events, masked
    journal_index = _Key("journal", "index")  # list: the index of the journal, see row_index.py
    calls = _Key("calls")  # stream: recorded calls, masked. An entry has the ID of its attempt in the journal
    calls_index = _Key("calls", "index")  # list: the index of the recorded calls, see row_index.py
    calls_bytes = _Key("calls", "bytes")  # the size of the recorded calls, in bytes
    tap = _Key("tap")  # JSON: the watchers of calls, with their filters and expiry. It expires with the last watcher

    backlog = _Key("backlog")  # hash: the backlog of each source: `calls:NAME`, and `bytes:NAME` in stored form
    parts = _Key("parts")  # hash: for events that became several calls, the number of calls still open
    hold = _Key("hold")  # exists while nothing may be sent to this destination. Its value is the reason
    ceiling = _Key("ceiling")  # hash: the token bucket that all lanes share, if the settings give the account a ceiling
    lag = _Key("lag")  # hash: how many calls were in time, late, or waited for the limit, by priority

    dead = _Key("dead")  # stream: dead letters
    dead_kept = _Key("dead_kept")  # hash: how many dead letters and bytes each source has, see scripts/dead_letters.lua
    review = _Key("review")  # stream: calls of unknown outcome in review, in the form of dead letters
    review_kept = _Key("review_kept")  # hash: how many calls in review and bytes each source has

    account = _Key("account")  # hash: the account that calls are for, and another one if it was found instead
    attributes = _Key("attributes")  # hash: the account's custom attributes, name → type
    event_keys = _Key("event_keys")  # hash: the number of property names of each custom event type, masked
    event_keys_seen = _Key("event_keys_seen")  # set: digests of these names, so that each counts once
    suspicious = _Key("suspicious")  # sorted set: masked identifiers of too many people, by number of blocked links

    erasures = _Key("erasures")  # stream: requests to erase a person that are not begun yet
    erasures_due = _Key(
        "erasures", "due"
    )  # sorted set: IDs of unfinished erasures, by when their next step is due (ms)
    erasures_lock = _Key("erasures", "lock")  # the worker that carries out the erasures of the destination
    receipts = _Key("receipts")  # sorted set: IDs of all erasures, by when they were begun (epoch ms)

    row_outcomes = _Key("row_outcomes")  # hash: event keys of a sync's rows, and how each ended; empty: its calls wait
    sync_states = _Key("sync_states")  # hash: the ID of the state with which each sync ran last
    sync_problems = _Key("sync_problems")  # hash: the syncs whose last run failed, or was stopped by a guard
    sync_standings = _Key("sync_standings")  # hash: where each sync stands, for processes without its state

    def seen(self, now_s: float) -> list[str]:
        """Sets of event keys, the current one first."""
        bucket = int(now_s // SEEN_BUCKET_S)
        return [f"{self.prefix}:seen:{bucket - age}" for age in range(SEEN_BUCKETS)]

    def people(self, source: str, life_s: int, now_s: float) -> list[str]:
        """HyperLogLogs of the names of stored profiles, by quarters of their expiry; the current one first."""
        quarter = int(now_s * 4 // life_s)
        return [f"{self.prefix}:people:{source}:{quarter - age}" for age in range(5)]

    def last_sent(self, person: str) -> str:
        """The last consent call about one contact: `p` and a digest while it waits, `d` once accepted.

        Where the person is `opted_out:…`, one contact: when it opted out (epoch s). Earlier releases kept all
        fingerprints in such keys.
        """
        return f"{self.prefix}:last_sent:{person}"

    def fingerprints(self, name: bytes) -> str:
        """Hash: the last calls about some people, of whom one has this name, see scripts/last_sent.lua."""
        return self.last_sent(f"{FINGERPRINTS}{zlib.crc32(name) % LAST_SENT_HASHES:x}")

    def profile(self, name: str) -> str:
        """The profile of a person under one ID of one source, see scripts/records.lua."""
        return f"{self.prefix}:profile:{name}"

    def contact(self, digest: str) -> str:
        """Sorted set: the names of the profiles that hold this contact, where `contacts` has no room for them."""
        return f"{self.prefix}:contact:{digest}"

    def contacts(self, digest: str) -> str:
        """Hash: the profiles that hold some e-mail addresses, phone numbers and other IDs, see scripts/contacts.lua."""
        return f"{self.prefix}:contacts:{_contact_hash(digest)}"

    def claim(self, digest: str) -> str:
        """The same for the records in which public sources claim this contact, or facts about this user."""
        return f"{self.prefix}:claim:{digest}"

    def claims(self, digest: str) -> str:
        """The hash for some of these."""
        return f"{self.prefix}:claims:{_contact_hash(digest)}"

    def erasure(self, erasure_id: str) -> str:
        """Hash: one erasure, and at its end, its receipt."""
        return f"{self.prefix}:erasure:{erasure_id}"

    def sync_lease(self, sync: str) -> str:
        """The run of a sync that is under way; it expires when its process dies."""
        return f"{self.prefix}:sync_lease:{sync}"

    def lag_short(self, bucket: int) -> str:
        """Hash: the lag of the calls of 5 minutes."""
        return f"{self.prefix}:lag:short:{bucket}"

    def lag_hour(self, bucket: int) -> str:
        """Hash: the lag of the calls of an hour."""
        return f"{self.prefix}:lag:hour:{bucket}"


def _contact_hash(digest: str) -> str:
    return f"{zlib.crc32(digest.encode()) % CONTACT_HASHES:x}"


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """The keys of one lane: a destination and an endpoint."""

    destination: DestinationKeys
    endpoint: str
    prefix: str = field(init=False, repr=False, compare=False)  # the beginning of every key of the lane

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", f"{self.destination.prefix}:lane:{self.endpoint}")

    retry = _Key(
        "retry"
    )  # sorted set: deliveries that wait for a retry, by its time (epoch ms); first byte: their stream
    pace = _Key("pace")  # hash: the token bucket
    hold = _Key("hold")  # exists while nothing may be sent to this endpoint
    lease = _Key("lease")  # the drain that owns the lane. The key expires when that drain's worker dies
    generation = _Key("generation")  # counts the lane's drains. It is part of the next one's job ID

    @property
    def streams(self) -> list[str]:
        """The backlog as in STREAMS: fresh calls by priority, then stale ones."""
        return [f"{self.prefix}:{name}" for name in STREAMS]


class ConsoleKeys:
    """The keys of the console. Destination names have no dots, so their hash tag cannot collide with one."""

    prefix: Final = "{.console}"
    sessions: Final = f"{prefix}:sessions"  # sorted set: digests of all sessions, by when they were last used
    audit: Final = f"{prefix}:audit"  # stream: who did what
    revisions: Final = f"{prefix}:revisions"  # stream: mappings that were put into use, by whom
    jobs: Final = f"{prefix}:jobs"  # sorted set: IDs of bulk replays of dead letters, by when they were begun
    sync_problems: Final = f"{prefix}:sync_problems"  # hash: why the last run of a sync that a console began ended

    @classmethod
    def session(cls, digest: str) -> str:
        """JSON: one session."""
        return f"{cls.prefix}:session:{digest}"

    @classmethod
    def job(cls, job_id: str) -> str:
        """Hash: one bulk replay of dead letters, and its progress."""
        return f"{cls.prefix}:job:{job_id}"

    @classmethod
    def failures(cls, digest: str) -> str:
        """The number of a user's failed sign-ins in the last minutes."""
        return f"{cls.prefix}:failures:{digest}"

    @classmethod
    def state(cls, digest: str) -> str:
        """JSON: a pending sign-in with OpenID Connect."""
        return f"{cls.prefix}:oidc:{digest}"


class AlertKeys:
    """The keys of alerts. Destination names have no dots, so their hash tag cannot collide with one."""

    prefix: Final = "{.alerts}"
    history: Final = f"{prefix}:history"  # stream: every change of an alert's level
    mutes: Final = f"{prefix}:mutes"  # hash: until when (epoch ms) a rule, or one alert, is muted
    evaluated: Final = f"{prefix}:evaluated"  # when workers evaluated the rules last (epoch ms)
    samples: Final = f"{prefix}:samples"  # list: what the counters were at each of the last minutes
    processes: Final = f"{prefix}:processes"  # hash: whether each process can use its configuration
    channels: Final = f"{prefix}:channels"  # hash: how the last message to each channel went
    last_event: Final = f"{prefix}:last_event"  # hash: when each source sent something last (epoch ms)

    @classmethod
    def leader(cls, side: str) -> str:
        """The lease of the process that evaluates: one among the workers, one among the gateways."""
        return f"{cls.prefix}:leader:{side}"

    @classmethod
    def states(cls, side: str) -> str:
        """Hash: the states of the alerts that are not ok."""
        return f"{cls.prefix}:states:{side}"

    @classmethod
    def queue(cls, side: str, channel: str) -> str:
        """Stream: messages that wait for a channel."""
        return f"{cls.prefix}:queue:{side}:{channel}"

    @classmethod
    def requests(cls, minute: int) -> str:
        """Hash: the numbers of requests answered, refused and limited by gateways in one minute since the epoch."""
        return f"{cls.prefix}:requests:{minute}"

    @classmethod
    def volume(cls, hour: int) -> str:
        """Hash: the events of each source in one hour since the epoch."""
        return f"{cls.prefix}:volume:{hour}"
