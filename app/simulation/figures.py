"""The measured figures that sizing is computed from. docs/operations.md and benchmarks/README.md show their origin.

Bytes are the memory that Redis frees when the item is deleted: `make bench-memory` measures them, with an
event of 810 bytes. Tests compare each figure with the pages.
"""

from typing import Final

from app.store.keys import SEEN_BUCKET_S, SEEN_BUCKETS

WAITING_CALL_BYTES: Final = 1_031
MESSAGE_ID_BYTES: Final = 68
MESSAGE_ID_KEPT_S: Final = SEEN_BUCKETS * SEEN_BUCKET_S  # at most
JOURNAL_ENTRY_BYTES: Final = 228 + 42  # the entry, and its rows in the index
LAST_SENT_BYTES: Final = 33  # the digest of what was last sent about a person, per endpoint, of ten million people
PROFILE_BYTES: Final = 237
CONTACT_BYTES: Final = 42  # of ten million people
DEAD_LETTER_BYTES: Final = 1_204
PERSON_BYTES: Final = 2 * LAST_SENT_BYTES + PROFILE_BYTES + 2 * CONTACT_BYTES  # two endpoints, two contacts
MEMORY_HEADROOM: Final = 1.3  # maxmemory is the expected size times this

GATEWAY_EVENTS_PER_S: Final = 5_239  # single events that one process answers, on a slow machine
REDIS_INTAKE_US: Final = 15  # processor time of Redis to store an event with one call
REDIS_DELIVERY_US: Final = 43  # and to hand the call out and settle it
PLANNED_LOAD: Final = 0.5  # the share of a process that plans count on
WORKER_LOAD: Final = 0.8  # seconds of work per second of a worker's time that plans count on, see delivery/workload.py

# The share of its pace that a lane with a backlog reaches: it changes hands every 30 s, and answers come unevenly.
# `make bench-burst` measures it.
PACE_USED: Final = 0.98
