"""Why the state of a sync cannot be used, in the words of what to do about it."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from app.operations.operator import OperationError

_MOVE: Final = (
    "Restore it from a backup, or move it away with the files -wal and -shm beside it: the next run begins anew, as "
    "docs/rows.md#state explains."
)
_WRITABLE: Final = "Give the user of this process write access to the file and its folder, or set GATEWAY_SYNC_STATE."
_REASONS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_NOTADB: f"is no SQLite file. {_MOVE}",
    sqlite3.SQLITE_CORRUPT: f"is damaged. {_MOVE}",
    sqlite3.SQLITE_BUSY: "is in use by another process. Run the command again when that has ended.",
    sqlite3.SQLITE_LOCKED: "is in use by another process. Run the command again when that has ended.",
    sqlite3.SQLITE_READONLY: f"cannot be written. {_WRITABLE}",
    sqlite3.SQLITE_PERM: f"cannot be written. {_WRITABLE}",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened. {_WRITABLE}",
    sqlite3.SQLITE_FULL: "does not fit on its disk, which is full. Free some space, and run the sync again: it goes on "
    "where it was.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error. Check it, and run the sync again.",
}


class StateFailed(OperationError):  # noqa: N818
    """The state cannot be read or stored. The run can be continued later. The text explains how."""


def other_version(place: object, version: str) -> StateFailed:
    """The state was made by another version of the gateway."""
    return StateFailed(
        f"The state {place} has the form {version!r}, which this version of the gateway does not read. {_MOVE}"
    )


def other_content(place: object) -> StateFailed:
    """The file is a database of something else."""
    return StateFailed(f"{place} is a database, but no state of a sync. Set GATEWAY_SYNC_STATE to another folder.")


def explained(failure: BaseException | None, place: object) -> StateFailed | None:
    """What an error of SQLite means, if an operator can do something about it."""
    if not isinstance(failure, sqlite3.Error):
        return None
    reason = _REASONS.get(getattr(failure, "sqlite_errorcode", 0) & 0xFF)  # without what extends the code
    return None if reason is None else StateFailed(f"The state {place} {reason}")


@contextmanager
def opening(place: object) -> Iterator[None]:
    """Errors of SQLite and of the file become StateFailed."""
    try:
        yield
    except sqlite3.Error as failure:
        raise explained(failure, place) or failure from None
    except OSError as failure:
        raise StateFailed(f"The state {place} cannot be opened: {failure.strerror}. {_WRITABLE}") from None
