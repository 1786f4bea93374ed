"""What must not be sent although it was planned: refusals that an operator reads, and overrides knowingly. Pure."""

import hashlib
from typing import Final

import orjson

from app.config.sync import Sync

SENT_ONCE: Final = frozenset({"events", "purchases", "subscribers"})  # a repeat reaches the person


class SyncRefused(Exception):  # noqa: N818
    """The run ends before anything is sent. The text gives the reason and what to do, and no value of a row."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def fingerprint_of(sync: Sync) -> str:
    """Digest of what makes a row new: where it comes from and what its key is."""
    source = sync.source
    parts = [source.kind, source.place, source.sheet, list(sync.key), sync.object, sync.destination]
    if sync.object in ("audience", "subscribers"):  # other columns may name other people
        parts.append(repr(sync.identifiers))
    if (consent := sync.consent) is not None:  # another column, or other values, state another consent
        parts.append(repr((consent.column, consent.opt_in, consent.opt_out, consent.channels)))
    return hashlib.blake2b(orjson.dumps(parts), digest_size=12).hexdigest()


def check_removals(sync: Sync, *, rows: int, members: int, removals: int, before: str | None) -> None:
    """Refuse a plan that removes people for what may be a mistake of the source or of the configuration.

    `rows` is the number of rows in the source, `members` of those that the sync has added, `removals` of people who
    would leave, and `before` the fingerprint of the last run. A refusal can be overridden by `sync approve`.
    """
    if sync.object == "subscribers":
        check_opt_outs(sync, rows=rows, opt_outs=removals)
        return
    if sync.object != "audience" or not (removals or (members and not rows)):
        return
    guard = sync.removals
    most = guard.most_removals
    what = f"The run would remove {removals:,} {'person' if removals == 1 else 'people'}"
    if sync.how == "mirror":
        most = min(most, int(guard.most_share * members))
        if not rows:
            raise SyncRefused("source_empty", f"The source has no rows. {what}, all members that the sync has added.")
        if before is not None and before != fingerprint_of(sync):
            raise SyncRefused(
                "source_changed", f"The source, the key or the identifiers have changed since the last run. {what}."
            )
    if removals > most:
        share = f" of {members:,}" if sync.how == "mirror" else ""
        raise SyncRefused("too_many_removals", f"{what}{share}; `removals` allows {most:,} without approval.")


def check_opt_outs(sync: Sync, *, rows: int, opt_outs: int) -> None:
    """Refuse a plan that unsubscribes so many of the rows' people that the column may not be what it was.

    Rows that are gone opt no one out. A source, a key or a consent that has changed ends the run before: see
    `check_first_run`.
    """
    most = sync.removals.most_removals
    if sync.how != "remove":
        most = min(most, int(sync.removals.most_share * rows))
    if opt_outs > most:
        raise SyncRefused(
            "too_many_removals",
            f"The run would unsubscribe {opt_outs:,} {'person' if opt_outs == 1 else 'people'} of {rows:,} rows; "
            f"`removals` allows {most:,} without approval.",
        )


def check_first_run(sync: Sync, *, own: str, known: str | None, before: str | None) -> None:
    """Refuse a run that would take every row for new although the sync has run before.

    `own` is the ID of the state, `known` the one that Redis has of the last run, `before` the fingerprint of that run.
    """
    if sync.object not in SENT_ONCE:
        return
    again = "Take all rows as sent with --baseline, or send them all with --resend."
    if known is not None and known != own:
        raise SyncRefused(
            "state_lost",
            f"The sync has run before, and its state is not here: every row would be sent again. {again}",
        )
    if before is not None and before != fingerprint_of(sync):
        what = "The source, the key or the object has changed since the last run: every row would be new."
        if sync.consent is not None:
            what = (
                "The source, the key, the identifiers or the consent has changed since the last run: rows may state "
                "another consent than before."
            )
        raise SyncRefused("source_changed", f"{what} {again}")
