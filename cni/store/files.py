"""Files that are whole or absent: temporary file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import os


def ensure_dir(path: str) -> None:
    """Make the directory (mode 0700) and its parents."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def write(path: str, data: bytes) -> None:
    """Replace `path` (mode 0600) by `data`: after a crash it is the old or the new file."""
    directory = os.path.dirname(path)
    ensure_dir(directory)
    # a leading dot keeps half-written files out of every listing of records
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    _sync_dir(directory)


def read(path: str) -> bytes | None:
    """The content; None when there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove(path: str) -> None:
    """Remove the file; gone is fine."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def names(directory: str) -> list[str]:
    """The records in a directory, sorted; none when it does not exist."""
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync_dir(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
