"""The files of a source: on this machine by path or glob, or elsewhere by a URL of fsspec, such as s3://shop/rows/*.csv."""

import glob
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from app.config.files import stamp

_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


class SourceFailed(Exception):  # noqa: N818 - it names the source
    """The source cannot be read to its end. The text names the place and the reason, and contains no value of a row."""


class SourceFile(Protocol):
    """One file of a source. `str` of it is its path or URL."""

    def open(self) -> BinaryIO:
        """Its content, from the beginning."""

    def stamp(self) -> object:
        """What differs once the file is written anew."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> BinaryIO:
        """Its content, from the beginning."""
        return self.path.open("rb")

    def stamp(self) -> object:
        """What differs once the file is written anew."""
        return stamp(self.path)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a store that fsspec reads."""

    system: Any
    path: str

    def __str__(self) -> str:
        return str(self.system.unstrip_protocol(self.path))

    def open(self) -> BinaryIO:
        """Its content, from the beginning. It ends too early with an error, and not in silence."""
        self.system.invalidate_cache()
        size = self.system.info(self.path)["size"]
        return io.BufferedReader(_Whole(self.system.open(self.path, "rb"), size))

    def stamp(self) -> object:
        """What differs once the file is written anew."""
        self.system.invalidate_cache()
        return self.system.ukey(self.path)


class _Whole(io.RawIOBase):
    """A stream that must have as many bytes as its store has promised."""

    def __init__(self, stream: Any, size: int | None) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        if self._left is not None:
            self._left -= len(content)
            if not content and self._left:
                raise OSError(0, "it was cut off")
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def files_of(pattern: str) -> list[SourceFile]:
    """The files of a path, glob or URL, sorted by name. Raises SourceFailed where there are none."""
    if "://" in pattern:
        return _remote_files(pattern)
    found = sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - the pattern may be absolute
    files: list[SourceFile] = [LocalFile(path) for path in found if path.is_file()]
    if not files:
        raise SourceFailed(f"There is no file {pattern} in {Path.cwd()}.")
    return files


def _remote_files(url: str) -> list[SourceFile]:
    with reading(url):
        system, path = system_of(url)
        system.invalidate_cache()
        paths = sorted(system.glob(path)) if any(sign in path for sign in "*[") else [path]
        files: list[SourceFile] = [RemoteFile(system, each) for each in paths if system.isfile(each)]
    if not files:
        raise SourceFailed(f"There is no file {url}.")
    return files


def system_of(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL names, and the path there. Raises SourceFailed and what the library does."""
    scheme = url.partition("://")[0]
    try:
        fsspec = import_module("fsspec")
        system, path = fsspec.core.url_to_fs(url)
    except ImportError:
        extra = _EXTRAS.get(scheme)
        what = f"pip install 'attentive-gateway[{extra}]'" if extra else "install fsspec and its package for this store"
        raise SourceFailed(f"{scheme}:// needs more packages: {what}.") from None
    except ValueError:
        raise SourceFailed(f"{scheme}:// is not a store that fsspec knows.") from None
    return system, path


@contextmanager
def reading(place: object, but: type[Exception] = SourceFailed) -> Iterator[None]:
    """Any error of a store, `but` this one, becomes SourceFailed, without its text, which may repeat a secret."""
    try:
        yield
    except (SourceFailed, but):
        raise
    except OSError as failure:
        raise SourceFailed(f"{place} cannot be read: {failure.strerror or type(failure).__name__}.") from None
    except Exception as failure:
        raise SourceFailed(f"{place} cannot be read: {type(failure).__name__}.") from None
