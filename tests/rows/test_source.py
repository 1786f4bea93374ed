"""Every kind of source gives whole rows or fails: what ends too early is never taken for the whole."""

import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config.sync import RowSource
from app.rows.files import SourceFailed
from app.rows.source import Reader

ROWS = [{"id": "1", "email": "ada@example.com"}, {"id": "2", "email": "bob@example.com"}]


def read(source: dict[str, Any], *needed: str) -> list[dict[str, Any]]:
    return list(Reader(RowSource.model_validate(source), frozenset(needed)).rows())


def _csv(folder: Path) -> dict[str, Any]:
    (folder / "t.csv").write_text("id,email\n1,ada@example.com\n\n2,bob@example.com\n")
    return {"csv": str(folder / "t.csv")}


def _ndjson(folder: Path) -> dict[str, Any]:
    (folder / "t.ndjson").write_text('{"id":"1","email":"ada@example.com"}\n\n{"id":"2","email":"bob@example.com"}')
    return {"ndjson": str(folder / "t.ndjson")}


def parquet_file(folder: Path) -> Path:
    import duckdb

    values = "(VALUES ('1', 'ada@example.com'), ('2', 'bob@example.com')) AS t(id, email)"
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT * FROM {values}) TO '{folder / 't.parquet'}' (FORMAT parquet)")
    return folder / "t.parquet"


def _parquet(folder: Path) -> dict[str, Any]:
    return {"parquet": str(parquet_file(folder))}


def _sql(folder: Path) -> dict[str, Any]:
    with sqlite3.connect(folder / "t.db") as database:
        database.execute("CREATE TABLE t (id TEXT, email TEXT)")
        database.executemany("INSERT INTO t VALUES (:id, :email)", ROWS)
    database.close()
    return {"sql": "SELECT * FROM t ORDER BY id", "connection": f"sqlite:///{folder / 't.db'}"}


def xlsx_file(folder: Path) -> Path:
    cells = [["id", "email"], *(list(row.values()) for row in ROWS)]
    lines = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in line) + "</row>" for line in cells
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheet = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
    book = (
        f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="Members" sheetId="1" r:id="rId1"/></sheets>'
        "</workbook>"
    )
    related = (
        f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{office}/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>'
    )
    with zipfile.ZipFile(folder / "t.xlsx", "w") as archive:
        archive.writestr(
            "_rels/.rels", related.replace('worksheet"', 'officeDocument"').replace("worksheets/sheet1", "xl/workbook")
        )
        archive.writestr("xl/workbook.xml", book)
        archive.writestr("xl/_rels/workbook.xml.rels", related)
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return folder / "t.xlsx"


def _xlsx(folder: Path) -> dict[str, Any]:
    return {"xlsx": str(xlsx_file(folder)), "sheet": "Members"}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(_csv, id="CSV"),
        pytest.param(_ndjson, id="NDJSON"),
        pytest.param(_parquet, id="Parquet"),
        pytest.param(_xlsx, id="XLSX"),
        pytest.param(_sql, id="SQL"),
    ],
)
def test_every_kind_of_source_gives_its_rows(made: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    source = made(tmp_path)
    assert read(source, "id") == ROWS
    if "ndjson" not in source:  # which has no header
        with pytest.raises(SourceFailed, match=r"has no column 'tier'"):
            read(source, "tier")


def test_the_files_of_a_glob_follow_each_other_by_name(tmp_path: Path) -> None:
    for day in (2, 1):
        (tmp_path / f"orders-{day}.csv").write_text(f"id\n{day}\n")
    assert [row["id"] for row in read({"csv": str(tmp_path / "orders-*.csv")})] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        pytest.param("t.csv", b"", "is empty: it has no header", id="a file of no bytes"),
        pytest.param("t.csv", b"id,email\n1,a@example.com\n2", "line 3: 1 fields, and the header has 2", id="cut off"),
        pytest.param("t.csv", b'id,email\n1,"a', "unexpected end of data", id="cut off within quotes"),
        pytest.param("t.csv", b"id,id\n1,2\n", "more than one column 'id'", id="a column twice"),
        pytest.param("t.csv", b"id\n\xff\n", "not text in utf-8-sig", id="another encoding"),
        pytest.param("t.ndjson", b'{"id":1}\n{"id":', "line 2: not JSON", id="JSON cut off"),
        pytest.param("t.ndjson", b"[1]\n", "line 1: not a JSON object", id="a list"),
        pytest.param("t.parquet", b"PAR1", "cannot be read: InvalidInputException", id="no Parquet"),
        pytest.param("t.xlsx", b"no archive", "cannot be read", id="no workbook"),
    ],
)
def test_a_damaged_file_fails(name: str, content: bytes, rule: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceFailed, match=rule):
        read({name.partition(".")[2]: str(tmp_path / name)})


def test_no_file_is_no_empty_table(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="There is no file"):
        read({"csv": str(tmp_path / "*.csv")})


def test_a_file_that_is_written_meanwhile_fails(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id\n1\n2\n")
    rows = Reader(RowSource(csv=str(file))).rows()
    next(rows)
    file.write_text("id\n1\n2\n3\n")
    with pytest.raises(SourceFailed, match="was changed while it was read"):
        list(rows)


def test_a_database_that_fails_does_not_repeat_its_password(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed) as failed:
        read({"sql": "SELECT * FROM nothing", "connection": f"sqlite:///{tmp_path / 'secret-name.db'}"})
    assert "secret-name" not in str(failed.value)
    assert "OperationalError" in str(failed.value)


LIBRARIES = ("duckdb", "sqlalchemy", "python_calamine", "fsspec")


@pytest.mark.parametrize(
    ("processes", "heavy"),
    [
        pytest.param("app.main, workers.worker", (*LIBRARIES, "app.rows"), id="gateway and worker"),
        pytest.param("app.console.app", LIBRARIES, id="the console, which shows what syncs have done"),
    ],
)
def test_no_process_beside_the_syncs_loads_a_library_of_sources(processes: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {processes}; print([name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
