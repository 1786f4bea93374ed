"""The stamp of a file: enough to see that it has changed."""

from pathlib import Path

Stamp = tuple[int, int, int] | None  # when written (ns), inode, size in bytes; None: it does not exist


def stamp(path: Path) -> Stamp:
    """The file's current stamp. Links are followed: Kubernetes swaps a link to the folder of a new version."""
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_ino, known.st_size
