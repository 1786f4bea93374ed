"""What a file on disk looks like from outside: enough to see that it has changed."""

from pathlib import Path

Stamp = tuple[int, int, int] | None  # when written (ns), which inode, how many bytes; None: it is not there


def stamp(path: Path) -> Stamp:
    """The file's stamp now. Links are followed: Kubernetes swaps a link to the folder of a new version."""
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_ino, known.st_size
