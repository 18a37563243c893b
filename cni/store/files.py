"""Files that are whole or absent: temporary file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from cni.core import trace
from cni.core.syncing import sync_directory

_NAME_MAX = 200  #: bytes of a file name that every file system takes, with room for a suffix


def name_for(key: str) -> str:
    """The key as the name of a file; a digest of one that would be too long."""
    if len(key.encode()) <= _NAME_MAX:
        return key
    import hashlib  # for rare keys

    return hashlib.sha512(key.encode()).hexdigest()[:64]


def ensure_dir(path: str) -> None:
    """Make the directory and its parents, each with mode 0700 whatever the umask."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent:
        ensure_dir(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # another call was faster


def write(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` (mode 0600) by `data`: a process killed meanwhile leaves the old or the new.

    So does a power cut when `durable`, which costs 2 to 10 ms.
    """
    with trace.span(trace.DISK):
        _write(path, data, durable=durable)


def _write(path: str, data: bytes, *, durable: bool) -> None:
    directory = os.path.dirname(path)
    ensure_dir(directory)
    temporary = _temporary(path)
    fd = _open_locked(temporary)
    try:
        with open(fd, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            if durable:
                os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync_directory(directory)


def overwrite(path: str, data: bytes) -> None:
    """Write over the first bytes of a file that may end with the boot: few, so that a reader and
    a kill find all of them or none.

    Replacing a file by renaming another makes ext4 write that one at once, which takes 1 ms.
    """
    with trace.span(trace.DISK):
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)


def read(path: str) -> bytes | None:
    """The content; None when there is no such file, or something else that is no file."""
    try:
        # a FIFO would be waited for
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb", buffering=0) as file:
        return file.read()


def remove(path: str) -> None:
    """Remove the file and what a killed `write` left of it.

    Gone is fine, and so is a name that no file can have.
    """
    for each in (path, _temporary(path)):
        try:
            os.unlink(each)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise


def sweep(directory: str) -> None:
    """Remove what killed writers have left in a directory, and nothing that is being written."""
    try:
        found = [name for name in os.listdir(directory) if _is_temporary(name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in found:
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it is in place by now
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except OSError:
            pass  # its writer lives
        finally:
            os.close(fd)


def _open_locked(temporary: str) -> int:
    """The temporary file, empty, with a lock that ends with its writer (see `sweep`)."""
    while True:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.exists(temporary) and os.path.samestat(os.fstat(fd), os.stat(temporary)):
                os.truncate(fd, 0)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # swept, or put in place by another, before the lock was ours


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _temporary(path: str) -> str:
    """A file that is being written: hidden from every listing, and found from the record's name."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def names(directory: str) -> list[str]:
    """The records in a directory, sorted; none when it does not exist."""
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
