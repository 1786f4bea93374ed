"""Tables of real databases: their types, queries that end too early, and a sync through the whole gateway."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from app.config.sync import RowSource
from app.embedded import RedisBinary
from app.rows.files import SourceFailed
from app.rows.source import Reader
from tests.databases.servers import Database, mariadb, postgresql
from tests.rows.test_journeys import LOYALTY, Shop
from tests.stack import Stack, stack

ROWS: Final = 30_000
KINDS: Final = {"PostgreSQL": postgresql, "MariaDB": mariadb}
NUMBERS: Final = {
    "PostgreSQL": f"INSERT INTO numbers SELECT n, repeat('x', 100) FROM generate_series(1, {ROWS}) AS n",
    "MariaDB": f"INSERT INTO numbers SELECT seq, repeat('x', 100) FROM seq_1_to_{ROWS}",
}
FAILS: Final = {  # at a row that is far from the first
    "PostgreSQL": "SELECT n, 1 / (n - 29000) AS worth FROM numbers ORDER BY n",
    "MariaDB": "SELECT n, CASE WHEN n = 29000 THEN (SELECT n FROM numbers) ELSE 1 END AS worth FROM numbers ORDER BY n",
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def database(kind: str) -> Iterator[Database]:
    with KINDS[kind]() as running:
        running.execute(
            "CREATE TABLE numbers (n INTEGER PRIMARY KEY, text VARCHAR(100))",
            NUMBERS[kind],
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(100), tier VARCHAR(20), "
            "points DECIMAL(12, 2), joined TIMESTAMP NULL, active BOOLEAN)",
            "INSERT INTO customers VALUES (7, 'seven@example.com', 'gold', 12.50, '2026-01-02 03:04:05', true), "
            "(8, 'eight@example.com', NULL, 3, NULL, false)",
        )
        yield running


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("databases"), redis_binary) as started:
        yield started


def source(database: Database, query: str) -> dict[str, Any]:
    return {"sql": query, "connection": database.url}


def reader(database: Database, query: str) -> Iterator[dict[str, Any]]:
    return Reader(RowSource.model_validate(source(database, query))).rows()


def test_a_large_result_is_read_as_it_comes_and_to_its_end(database: Database) -> None:
    assert sum(row["n"] for row in reader(database, "SELECT * FROM numbers")) == ROWS * (ROWS + 1) // 2


def test_a_query_that_fails_after_many_rows_fails_as_a_whole(kind: str, database: Database) -> None:
    with pytest.raises(SourceFailed, match="the database cannot be read"):
        list(reader(database, FAILS[kind]))


def test_no_password_is_repeated_where_the_server_refuses(database: Database) -> None:
    url = database.url.replace("@127.0.0.1", ":hunter2@127.0.0.1").replace("shop:", "nobody:").replace("root:", "x:")
    with pytest.raises(SourceFailed) as failed:
        list(Reader(RowSource.model_validate({"sql": "SELECT 1", "connection": url})).rows())
    assert "hunter2" not in str(failed.value)


def test_a_table_is_synced_through_the_gateway(database: Database, running: Stack, tmp_path: Path, kind: str) -> None:
    shop, name = Shop(running, tmp_path), f"loyalty-{kind.lower()}"
    columns = ("tier", "points", "joined", "active")
    fields = {f"{kind} {column}": column for column in columns}  # MariaDB's booleans are numbers
    loyalty = {**LOYALTY, "key": "id", "identifiers": {"client_user_id": "id"}, "fields": fields, "types": {}}
    results = {"connection": database.url}
    shop.define(**{name: {**loyalty, "source": source(database, "SELECT * FROM customers"), "results": results}})
    before = len(running.ledger(contains="seven@example.com"))
    assert shop.facts("plan", name)["calls"] == {"user-attributes": 2}
    assert shop.facts("run", name)["delivered"] == 2
    custom = running.ledger(contains="seven@example.com")[before]["body"]["attributes"]["custom"]
    assert [custom[f"{kind} {column}"] for column in columns] == ["gold", 12.5, "2026-01-02T03:04:05Z", True]
    database.execute("UPDATE customers SET tier = 'platinum' WHERE id = 8")
    report = shop.facts("run", name)
    assert (report["unchanged"], report["delivered"]) == (1, 1)
    written = {row["row_key"]: row for row in reader(database, "SELECT * FROM attentive_results")}
    assert {key: row["ended"] for key, row in written.items()} == {"7": "delivered", "8": "delivered"}
    assert written["7"]["run"] != written["8"]["run"] == report["run"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyMySQL reads on when it is deleted
def test_a_server_that_dies_meanwhile_ends_the_run(kind: str) -> None:
    with KINDS[kind]() as doomed:
        doomed.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, text VARCHAR(100))", NUMBERS[kind])
        rows = reader(doomed, "SELECT a.n, b.text FROM numbers AS a, numbers AS b WHERE b.n < 50")
        next(rows)
        doomed.process.kill()
        doomed.process.wait()
        with pytest.raises(SourceFailed, match="the database cannot be read"):
            for _ in rows:
                pass
        del rows
        gc.collect()
