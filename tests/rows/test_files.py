"""Files of S3, and of any store that fsspec knows: whole, or the run ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from app.rows.files import SourceFailed, files_of
from tests.rows.s3 import Store
from tests.rows.test_source import ROWS, parquet_file, read, xlsx_file

CSV = b"id,email\n1,ada@example.com\n2,bob@example.com\n"


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet", "xlsx"])
def test_each_kind_of_file_is_read_from_s3(kind: str, s3: Store, tmp_path: Path) -> None:
    made: dict[str, Any] = {
        "csv": lambda: CSV,
        "ndjson": lambda: b'{"id":"1","email":"ada@example.com"}\n{"id":"2","email":"bob@example.com"}',
        "parquet": lambda: parquet_file(tmp_path).read_bytes(),
        "xlsx": lambda: xlsx_file(tmp_path).read_bytes(),
    }
    s3.put(f"shop/rows/t.{kind}", made[kind]())
    assert read({kind: f"s3://shop/rows/t.{kind}"}) == ROWS


def test_the_files_of_a_glob_follow_each_other_by_name(s3: Store) -> None:
    for name in ("b", "a"):
        s3.put(f"shop/rows/{name}.csv", f"id,email\n{name},{name}@example.com\n".encode())
    s3.put("shop/rows/c.txt", b"no table")
    assert [row["id"] for row in read({"csv": "s3://shop/rows/*.csv"})] == ["a", "b"]


def test_what_is_not_there_is_no_empty_table(s3: Store) -> None:
    s3.put("shop/other.csv", CSV)
    for missing in ("s3://shop/rows/*.csv", "s3://shop/t.csv"):
        with pytest.raises(SourceFailed, match="There is no file s3://"):
            files_of(missing)


def test_a_file_that_is_written_anew_meanwhile_ends_the_run(s3: Store) -> None:
    s3.put("shop/t.csv", CSV)
    rows = iter(read_slowly("s3://shop/t.csv"))
    next(rows)
    s3.put("shop/t.csv", CSV + b"3,eve@example.com\n")
    with pytest.raises(SourceFailed, match="was changed while it was read"):
        list(rows)


def read_slowly(url: str) -> Iterator[dict[str, Any]]:
    from app.config.sync import RowSource
    from app.rows.source import Reader

    return Reader(RowSource.model_validate({"csv": url})).rows()


def test_content_that_ends_too_early_ends_the_run(s3: Store) -> None:
    s3.put("shop/t.csv", CSV * 5)
    s3.cut.add("shop/t.csv")
    with pytest.raises(SourceFailed):
        read({"csv": "s3://shop/t.csv"})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("gs://shop/t.csv", r"attentive-gateway\[gcs\]", id="an extra that is not installed"),
        pytest.param("nowhere://shop/t.csv", "is not a store that fsspec knows", id="a scheme that nobody knows"),
    ],
)
def test_a_store_that_cannot_be_read_has_its_reason(url: str, problem: str) -> None:
    with pytest.raises(SourceFailed, match=problem):
        files_of(url)


def test_an_error_of_the_store_repeats_no_secret(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(SourceFailed) as failed:
        files_of("s3://shop/t.csv")
    assert "secret" not in str(failed.value)
