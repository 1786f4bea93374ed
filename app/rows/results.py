"""How the rows of a run ended, written into a table of the operator's own database: one row for each key.

A run that cannot write them is not done. It is continued later, and then has nothing to do but this.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from app.config.sync import RowResults
from app.config.values import is_placeholder
from app.operations.operator import OperationError
from app.rows.codes import help_of
from app.rows.outcomes import Outcome, code_of
from app.rows.source import library
from app.rows.staged import Rejected
from app.rows.state import State
from app.rows.subject import Subject

_PAGE: Final = 500
_KEY, _TEXT = 512, 1000  # characters


class ResultsFailed(OperationError):  # noqa: N818
    """The outcomes cannot be written now. The text names the table and the kind of the error, and contains no value."""


def write_results(subject: Subject, results: RowResults, state: State, run_id: str) -> None:
    """Write how every row of the run ended that was not unchanged. May be repeated. Raises ResultsFailed."""
    if is_placeholder(results.connection):
        raise _failed(subject, results, "its connection is not known here")
    sqlalchemy = library("sqlalchemy", "SQL")
    try:
        engine = sqlalchemy.create_engine(results.connection.get_secret_value())
        try:
            table = _table(sqlalchemy, results.table)
            with engine.begin() as connection:
                table.create(connection, checkfirst=True)
                after = 0
                while page := state.results(after, _PAGE):
                    after = page[-1].place
                    _replace(connection, table, [_result(subject.name, run_id, row) for row in page])
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as failure:
        raise _failed(subject, results, type(failure).__name__) from None


def _failed(subject: Subject, results: RowResults, why: str) -> ResultsFailed:
    return ResultsFailed(
        f"All rows have ended, but the table {results.table} of `results` cannot be written: {why}. Correct it, then: "
        f"sync resume {subject.name}"
    )


def _table(sqlalchemy: Any, name: str) -> Any:
    text, column = sqlalchemy.String, sqlalchemy.Column
    return sqlalchemy.Table(
        name,
        sqlalchemy.MetaData(),
        column("sync", text(64), primary_key=True),
        column("row_key", text(_KEY), primary_key=True),
        column("run", text(32), nullable=False),
        column("ended", text(16), nullable=False),
        column("code", text(64), nullable=False),
        column("detail", text(_TEXT), nullable=False),
        column("action", text(_TEXT), nullable=False),
        column("message_id", text(128), nullable=False),
        column("written_at", sqlalchemy.DateTime(), nullable=False),
    )


def _result(sync: str, run_id: str, row: Rejected) -> dict[str, Any]:
    code = code_of(row.outcome)
    bucket = Outcome.bucket(row.outcome)
    return {
        "sync": sync,
        "row_key": row.label[:_KEY],
        "run": run_id,
        "ended": bucket.value,
        "code": code,
        "detail": row.detail[:_TEXT],
        "action": help_of(code).action if bucket.value in ("dropped", "dead", "unknown") else "",
        "message_id": row.message_id,
        "written_at": datetime.now(UTC).replace(tzinfo=None, microsecond=0),
    }


def _replace(connection: Any, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Replace what is known of these keys. The last of rows that share a key counts."""
    by_key = {row["row_key"]: row for row in rows}
    sync = rows[0]["sync"]
    connection.execute(table.delete().where(table.c.sync == sync, table.c.row_key.in_(list(by_key))))
    connection.execute(table.insert(), list(by_key.values()))
