"""The lease files of one network, in the original's format: `<address>`, holding its owner.

An owner is what such a file says: container ID, CR LF, interface name; old ones say the ID alone.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError, Code
from cni.store import files
from cni.store.lock import locked
from ipam.addresses import parse_ip
from ipam.host_local.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipam.addresses import IP

_BLANK = b"\x00 \t\r\n\v\f"  #: what the original trims, and what a power cut may leave
_LONGEST = 4096  #: bytes of a lease file that are looked at
_PROBES = 32  #: addresses that are looked up one by one before the directory is listed
_SPACE_NEEDED = 1 << 20  #: bytes that must be free on the disk for `probe` to be content


def owner_of(container_id: str, ifname: str = "") -> bytes:
    """Without an interface name as old versions wrote it."""
    return f"{container_id.strip()}\r\n{ifname}".strip().encode()


def read(directory: str, address: str) -> bytes | None:
    """The owner of an address; empty when the file names none, None when there is no file."""
    path = os.path.join(directory, address)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, _LONGEST).strip(_BLANK)
    finally:
        os.close(fd)


@contextmanager
def opened(directory: str, operation: str, timeout: float = 60) -> Iterator[LeaseFiles]:
    """The files, while their lock is held; the same lock that the original takes.

    Raises CniError 11 when another call holds it for `timeout` seconds, 5 when a file cannot be
    used; `operation` says what for.
    """
    try:
        with locked(os.path.join(directory, "lock"), timeout, what=f"leases in {directory}"):
            parent, network = os.path.split(directory)
            index = Index(os.path.join(parent, ".plait", network), directory)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield LeaseFiles(directory, fd, index)
            finally:
                os.close(fd)
                index.save()
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot {operation}: {error.filename or directory}",
            str(error.strerror),
        ) from None


class LeaseFiles:
    """What one call does with them under the lock."""

    def __init__(self, directory: str, fd: int, index: Index) -> None:
        self._directory = directory
        self._fd = fd
        self._index = index
        self._probes = 0
        self._names: set[str] = set()
        if not index.is_current:
            index.rebuild(self._read_all())

    def held_by(self, owner: bytes) -> list[str]:
        """The addresses of the owner."""
        return [each for each in self._index.addresses(owner) if self.owner(each) == owner]

    def everything(self) -> list[tuple[str, bytes]]:
        """Every (address, owner)."""
        return self._index.everything()

    def owner(self, address: str) -> bytes | None:
        """See `read`."""
        return read(self._directory, address)

    def is_taken(self, address: str) -> bool:
        """Whether there is a file of that name, of whatever kind. Cheap for many."""
        if self._probes < _PROBES:
            self._probes += 1
            return os.path.lexists(os.path.join(self._directory, address))
        if self._probes == _PROBES:
            self._probes += 1
            self._names = set(os.listdir(self._directory))
        return address in self._names

    def take(self, address: str, owner: bytes) -> None:
        """Lease an address; its file is whole on the disk before it has a name."""
        fd = self._unnamed()
        if fd is None:
            self._write_named(address, owner)
            self._index.add(address, owner)
        else:
            try:
                _write(fd, owner)
                os.link(f"/proc/self/fd/{fd}", address, dst_dir_fd=self._fd, follow_symlinks=True)
                self._index.add(address, owner)
            finally:
                os.close(fd)

    def _unnamed(self) -> int | None:
        """A new file in the directory that has no name, and vanishes unless it is given one.

        None where the file system makes no such files (NFS, some overlays).
        """
        try:
            return os.open(self._directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return None
            raise

    def _write_named(self, address: str, owner: bytes) -> None:
        """As the original does it: a crash may leave a file without an owner."""
        path = os.path.join(self._directory, address)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, owner)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)

    def release(self, address: str, owner: bytes) -> bool:
        """Whether the owner had the address until now."""
        if self.owner(address) != owner:
            return False
        os.unlink(os.path.join(self._directory, address))
        self._index.drop(address, owner)
        return True

    def sync(self, addresses: Iterable[str] = ()) -> None:
        """What was taken and released is durable from now on, and so are these files."""
        for each in addresses:  # the original, or a call that was killed, has not waited for it
            fd = os.open(os.path.join(self._directory, each), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        os.fsync(self._fd)

    def last(self, number: int) -> IP | None:
        """The address that the range set gave last; None when it is not known."""
        try:
            data = files.read(os.path.join(self._directory, f"last_reserved_ip.{number}")) or b""
            return parse_ip(data.decode().strip())
        except (OSError, ValueError) as error:
            log.debug("host-local: last address not known", range_set=number, reason=error)
            return None

    def remember(self, number: int, address: str) -> None:
        """What `last` tells the next call; over the old text, which a full disk has room for."""
        path = os.path.join(self._directory, f"last_reserved_ip.{number}")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, os.pwrite(fd, address.encode(), 0))
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("host-local: the turn of the addresses is not kept", reason=error)

    def probe(self) -> None:
        """Raises OSError when no address could be leased now."""
        disk = os.fstatvfs(self._fd)
        # a file system that does not count its blocks says 0 of 0
        if disk.f_blocks and disk.f_bfree * disk.f_frsize < _SPACE_NEEDED:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._directory)
        fd = self._unnamed()
        if fd is None:
            return  # the lock at least could be opened for writing
        try:
            _write(fd, b"probe")
        finally:
            os.close(fd)

    def _read_all(self) -> Iterator[tuple[str, bytes]]:
        """Every (address, owner), from the files; those without an owner are removed.

        A file that cannot be read stays, and nothing that was read here is for the next call.
        """
        for name in os.listdir(self._directory):
            if not _is_address(name):
                continue
            try:
                owner = self.owner(name)
            except IsADirectoryError:
                continue  # taken, and nobody's
            except OSError as error:
                log.warning("host-local: lease not read", file=name, reason=error.strerror)
                self._index.distrust()
                continue
            if owner:
                yield name, owner
            elif owner is not None:
                self._remove_torn(name)

    def _remove_torn(self, address: str) -> None:
        """A crash between the making and the writing of a file, both under the lock, has left it.

        We hold the lock, so nobody is about to write it, and nobody has printed the address.
        """
        path = os.path.join(self._directory, address)
        if stat.S_ISREG(os.lstat(path).st_mode):
            log.warning("host-local: lease file without an owner removed", file=path)
            os.unlink(path)


def _is_address(name: str) -> bool:
    try:
        parse_ip(name)
    except ValueError:
        return False
    return True


def _write(fd: int, owner: bytes) -> None:
    view = memoryview(owner)
    while view:
        view = view[os.write(fd, view) :]
    os.fsync(fd)
