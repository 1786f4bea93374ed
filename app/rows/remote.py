"""The state of a sync as an object of S3, which is replaced only where it is still the one that was read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.rows.files import SourceFailed, reading, system_of
from app.rows.state_failed import StateFailed
from app.rows.subject import Subject

_COMPARING: Final = ("s3://", "s3a://")
_ONE_PUT: Final = 5 * 2**30  # bytes: S3 compares objects that come in one call


@dataclass(slots=True)
class RemoteState:
    """The object of one state, and its version as this process knows it."""

    url: str
    version: str | None = None  # None: there is none

    def fetch(self, to: Path) -> bool:
        """Copy the object into a file; False where there is none. Raises StateFailed."""
        if not self.url.startswith(_COMPARING):
            raise StateFailed(
                f"The state of a sync cannot be at {self.url}: GATEWAY_SYNC_STATE must be a folder, or begin with "
                "s3://, the one store that replaces an object only if it is still the one that was read."
            )
        with _failing(self.url):
            system, path = system_of(self.url)
            system.invalidate_cache()
            if not system.exists(path):
                return False
            self.version = system.info(path)["ETag"]
            content = system.cat_file(path)
            system.invalidate_cache()
            if system.info(path)["ETag"] != self.version:
                raise StateFailed(f"The state {self.url} was written while it was read. Run the command again.")
            to.write_bytes(content)
            return True

    def store(self, content: bytes) -> None:
        """Replace the object, if it is still the one that was read. Raises StateFailed."""
        unchanged = {"IfNoneMatch": "*"} if self.version is None else {"IfMatch": self.version}
        with _failing(self.url):
            system, path = system_of(self.url)
            try:
                stored = system.pipe_file(path, content, chunksize=_ONE_PUT, **unchanged)
            except OSError as failure:
                if "PreconditionFailed" in f"{failure} {failure.__cause__}" or isinstance(failure, FileExistsError):
                    raise StateFailed(
                        f"Another process has written the state {self.url} meanwhile, and this run ends. `sync resume` "
                        "continues from there."
                    ) from None
                raise
            self.version = stored["ETag"]


@contextmanager
def _failing(url: str) -> Iterator[None]:
    try:
        with reading(url, but=StateFailed):
            yield
    except SourceFailed as failure:
        raise StateFailed(f"The state of the sync: {failure}") from None


@contextmanager
def copied(subject: Subject) -> Iterator[tuple[Path, RemoteState | None]]:
    """The file of a state, or a copy of its object, which does not exist where there is none. Raises StateFailed."""
    if isinstance(subject.place, Path):
        yield subject.place, None
        return
    with tempfile.TemporaryDirectory(prefix="gateway-sync-") as folder:
        path, remote = Path(folder) / f"{subject.name}.sqlite", RemoteState(subject.place)
        remote.fetch(path)
        yield path, remote
