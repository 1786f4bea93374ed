"""Reading the rows of a source, one after the other and to the end. Each library is imported where it is needed.

A source that fails, or that ends too early, raises SourceFailed: what it gave until then is never taken for the whole.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO, TextIOWrapper
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from app.config.sync import RowSource
from app.rows.files import RemoteFile, SourceFailed, SourceFile, files_of, reading

Row = dict[str, Any]  # by column
T = TypeVar("T")
_AT_ONCE: Final = 2_000  # rows
_LARGEST_FIELD: Final = 1_048_576  # characters of one field: none that Attentive takes is larger
_WITH_DIGESTS: Final = "SELECT *, CAST(hash(?, *COLUMNS(*)) >> 1 AS BIGINT) FROM read_parquet(?)"  # 63 bits
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")


class Page(NamedTuple):
    """Some rows of a source. With a header, each is the sequence of its values in that order; without, a Row."""

    header: list[str] | None
    rows: Sequence[Any]
    digests: Sequence[int] | None = None  # of all values of each row, where the source computes them


@dataclass(frozen=True, slots=True)
class Reader:
    """The rows of one source. `needed` are the columns that each of its files must have.

    `salt` makes a salt of what digests depend on. Without it, there are none.
    """

    source: RowSource
    needed: frozenset[str] = frozenset()
    salt: Callable[[Sequence[str]], bytes] | None = None

    def rows(self) -> Iterator[Row]:
        """Every row, in the order of the source. Raises SourceFailed."""
        for header, rows, _ in self.pages():
            yield from rows if header is None else (dict(zip(header, values, strict=True)) for values in rows)

    def pages(self) -> Iterator[Page]:
        """Every row, some at a time. Raises SourceFailed."""
        return self._sql() if self.source.kind == "sql" else self._of_files()

    def _of_files(self) -> Iterator[Page]:
        read = {"csv": self._csv, "ndjson": _ndjson, "parquet": self._parquet, "xlsx": self._xlsx}[self.source.kind]
        for file in files_of(self.source.place):
            with reading(file):
                before = file.stamp()
                yield from read(file)
                if file.stamp() != before:
                    raise SourceFailed(f"{file} was changed while it was read. Run the sync when its writer is done.")

    def _csv(self, path: SourceFile) -> Iterator[Page]:
        csv.field_size_limit(_LARGEST_FIELD)
        with path.open() as content, TextIOWrapper(content, encoding=self.source.encoding, newline="") as file:
            lines = csv.reader(file, delimiter=self.source.delimiter, strict=True)
            try:
                header = next(lines, None)
                if header is None:
                    raise SourceFailed(f"{path} is empty: it has no header.")
                header = self._checked(path, header)
                before = lines.line_num
                while rows := list(islice(lines, _AT_ONCE)):
                    yield Page(header, _whole(path, header, rows, before))
                    before = lines.line_num
            except csv.Error as failure:
                raise SourceFailed(f"{path}, line {lines.line_num}: {failure}.") from None
            except UnicodeDecodeError:
                raise SourceFailed(
                    f"{path}, after line {lines.line_num}: not text in {self.source.encoding}. Set `encoding`."
                ) from None

    def _parquet(self, path: SourceFile) -> Iterator[Page]:
        duckdb = library("duckdb", "Parquet")
        options = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        with duckdb.connect(config=options) as database, _failing_as(path, duckdb.Error):
            if isinstance(path, RemoteFile):
                database.register_filesystem(path.system)
            columns = database.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)]).description
            header = self._checked(path, [name for name, *_ in columns])
            if self.salt is None:
                rows = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
                while page := rows.fetchmany(_AT_ONCE):
                    yield Page(header, page)
                return
            # Values of different types can have one digest, which another version can compute differently.
            salt = self.salt([duckdb.__version__, *header, *(str(kind) for _, kind, *_ in columns)])
            rows = database.execute(_WITH_DIGESTS, [salt, str(path)])
            while page := rows.fetchmany(_AT_ONCE):
                yield Page(header, [values[:-1] for values in page], [values[-1] for values in page])

    def _xlsx(self, path: SourceFile) -> Iterator[Page]:
        calamine = library("python_calamine", "XLSX")
        with (
            _failing_as(path, calamine.CalamineError),
            path.open() as content,
            calamine.CalamineWorkbook.from_filelike(BytesIO(content.read())) as book,
        ):
            sheet = self.source.sheet or book.sheet_names[0]
            if sheet not in book.sheet_names:
                raise SourceFailed(f"{path} has no sheet {sheet!r}. Its sheets are: {', '.join(book.sheet_names)}.")
            lines = iter(book.get_sheet_by_name(sheet).iter_rows())
            header = self._checked(path, [str(name).strip() for name in next(lines, [])])
            filled = (values for values in lines if any(value != "" for value in values))
            yield from _by_name(dict(zip(header, values, strict=False)) for values in filled)

    def _sql(self) -> Iterator[Page]:
        sqlalchemy = library("sqlalchemy", "SQL")
        assert self.source.connection is not None  # noqa: S101 - the configuration is checked
        with _failing_as("the database", (sqlalchemy.exc.SQLAlchemyError, ImportError)):
            engine = sqlalchemy.create_engine(self.source.connection.get_secret_value())
            try:
                with engine.connect() as connection:
                    streaming = connection.execution_options(stream_results=True, yield_per=_AT_ONCE)
                    rows = streaming.execute(sqlalchemy.text(self.source.place))
                    header = self._checked("the query", list(rows.keys()))
                    for page in rows.partitions():
                        yield Page(header, [tuple(values) for values in page])
            finally:
                engine.dispose()

    def _checked(self, place: object, header: list[str]) -> list[str]:
        """The header, if no name is in it twice and none is missing that the sync needs."""
        header = [name.strip() for name in header]
        if repeated := sorted({name for name in header if header.count(name) > 1}):
            raise SourceFailed(f"{place} has more than one column {repeated[0]!r}.")
        if missing := sorted(self.needed - set(header)):
            raise SourceFailed(f"{place} has no column {missing[0]!r}. Its columns are: {', '.join(header)}.")
        return header


def _whole(path: SourceFile, header: list[str], rows: list[list[str]], before: int) -> list[list[str]]:
    """The rows that are not blank, after so many lines. Raises SourceFailed where one has not the header's width."""
    width = len(header)
    if all(len(fields) == width for fields in rows):
        return rows
    for fields in rows:
        before += 1 + sum(len(_LINE_BREAK.findall(field)) for field in fields)
        if len(fields) not in (0, width):
            raise SourceFailed(
                f"{path}, line {before}: {len(fields)} fields, and the header has {width}. The file may have been cut "
                "off."
            )
    return [fields for fields in rows if fields]


def _by_name(rows: Iterable[Row]) -> Iterator[Page]:
    return (Page(None, page) for page in taken(rows, _AT_ONCE))


def _ndjson(path: SourceFile) -> Iterator[Page]:
    return _by_name(_objects(path))


def _objects(path: SourceFile) -> Iterator[Row]:
    with path.open() as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise SourceFailed(f"{path}, line {number}: not JSON. The file may have been cut off.") from None
            if not isinstance(row, dict):
                raise SourceFailed(f"{path}, line {number}: not a JSON object.")
            yield row


def library(name: str, what: str) -> Any:
    """A package of the extra `rows`. Raises SourceFailed where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise SourceFailed(
            f"{what} needs the package {name.replace('_', '-')}: pip install 'attentive-gateway[rows]'."
        ) from None


@contextmanager
def _failing_as(place: object, errors: type[BaseException] | tuple[type[BaseException], ...]) -> Iterator[None]:
    """What a library raises becomes SourceFailed, without its text: that may repeat a password or a value."""
    try:
        yield
    except errors as failure:
        reason = next(iter(str(failure).splitlines()), "") if isinstance(failure, ImportError) else ""
        kind = type(failure).__name__
        raise SourceFailed(f"{place} cannot be read: {reason or kind}.") from None


def taken(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """The items in pages of at most `most`."""
    page: list[T] = []
    for item in items:
        page.append(item)
        if len(page) == most:
            yield page
            page = []
    if page:
        yield page
