"""Files that are whole or absent: temporary file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import os


def ensure_dir(path: str) -> None:
    """Make the directory (mode 0700) and its parents."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def write(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` (mode 0600) by `data`: a process killed meanwhile leaves the old or the new.

    So does a power cut when `durable`, which costs 2 to 10 ms.
    """
    directory, name = os.path.split(path)
    ensure_dir(directory)
    # a leading dot keeps half-written files out of every listing of records
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            if durable:
                os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    if durable:
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
