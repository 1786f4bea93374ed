"""S3 for tests: a server of this process, and the environment in which s3fs finds it."""

from collections.abc import Iterator

import fsspec
import pytest

from tests.rows.s3 import Store, s3_server


@pytest.fixture(scope="session")
def s3_of_this_process() -> Iterator[Store]:
    with s3_server() as store:
        yield store


@pytest.fixture
def s3(s3_of_this_process: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An S3 without objects, which this process and those that it starts use."""
    for name, value in s3_of_this_process.environment.items():
        monkeypatch.setenv(name, value)
    s3_of_this_process.objects.clear()
    s3_of_this_process.cut.clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return s3_of_this_process
