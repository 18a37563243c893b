"""Which address belongs to whom, so that nobody has to read every lease file to find out.

A cache in one file, `<dataDir>/.plait/<network>`: the original never looks there, and no network
has such a name. The lease files are the truth. Whoever uses an address that the index names reads
its file first; and the index is made anew from the files unless nobody else has changed the
directory since it was written. That is told by the directory's time of change: ours is always one
nanosecond after a time that the kernel gave or that we gave before, which no other change of the
directory can come upon. A restart of the machine ends an index too: it was never synced.

All of it happens under the network's lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADER = 160  #: bytes of the first line, blanks included
# A record is _BEGIN owner _THEN address _END. One that is dropped has _DEAD for its first byte.
_BEGIN, _THEN, _END, _DEAD = b"\x1e", b"\x1f", b"\n", b"\x00"
_SLACK = 64 << 10  #: bytes that an index may grow before it is written anew without dead records


class Index:
    """Owner -> addresses of one directory. `is_current` says whether it is all of the truth."""

    def __init__(self, path: str, directory: str) -> None:
        self._path = path
        self._directory = directory
        self._boot = _boot_id()
        self._before = os.stat(directory).st_mtime_ns
        self._data = b""  #: the file: its header, blank when it is to be written anew, and records
        self._anew = False
        self._first_size = 0  #: of the data when it was last written anew
        self._added: list[bytes] = []
        self._dropped: list[int] = []  #: where in the data
        self._distrusted = False
        self.is_current = self._read()

    def distrust(self) -> None:
        """Not all of the truth is known: nothing will be written for the next call."""
        self._distrusted = True

    def rebuild(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Forget everything; these are all the (address, owner) that there are."""
        self._data = b" " * _HEADER + b"".join(_record(*each) for each in records)
        self._first_size = len(self._data)
        self._anew = self.is_current = True

    def addresses(self, owner: bytes) -> list[str]:
        """What the owner has, in no order; each is to be verified."""
        found, before, at = [], _BEGIN + _clean(owner) + _THEN, 0
        while (at := self._data.find(before, at)) >= 0:
            at += len(before)
            found.append(self._data[at : self._data.find(_END, at)].decode())
        return found

    def everything(self) -> list[tuple[str, bytes]]:
        """All (address, owner); each is to be verified."""
        found = []
        for record in self._data.split(_BEGIN)[1:]:
            if not record.startswith(_DEAD):
                owner, _, address = record.partition(_THEN)
                found.append((address[:-1].decode(), owner))
        return found

    def add(self, address: str, owner: bytes) -> None:
        self._added.append(_record(address, owner))

    def drop(self, address: str, owner: bytes) -> None:
        record = _record(address, owner)
        if record in self._added:
            self._added.remove(record)
        elif (at := self._data.find(record)) >= 0:
            self._dropped.append(at + 1)

    def save(self) -> None:
        """Write what has changed, after the change of the directory itself; call it once.

        A failure costs the next call a look at every file, and nothing else.
        """
        if self._distrusted:
            return
        try:
            if self._anew or self._added or self._dropped:
                self._write()
            elif os.stat(self._directory).st_mtime_ns != self._before:
                self._write()  # an ADD that was undone
        except OSError as error:
            log.debug("host-local: index not written", reason=error)

    def _read(self) -> bool:
        try:
            data = files.read(self._path) or b""
        except OSError as error:
            log.debug("host-local: index not read", reason=error)
            return False
        header = data[:_HEADER].decode(errors="replace").rstrip()
        stamp, _, sizes = header.rpartition(" sizes ")
        first, _, size = sizes.partition("/")
        if not self._boot or stamp != self._stamp(os.stat(self._directory)):
            return False
        if not first.isdecimal() or size != str(len(data)):
            return False
        self._data, self._first_size = data, int(first)
        if len(data) > 2 * self._first_size + _SLACK:
            self.rebuild(self.everything())
        return True

    def _write(self) -> None:
        files.ensure_dir(os.path.dirname(self._path))
        added = b"".join(self._added)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._anew:
                os.ftruncate(fd, 0)  # its header first: a call that is killed leaves no index
                _pwrite(fd, self._data, 0)
            _pwrite(fd, added, len(self._data))
            for at in self._dropped:
                _pwrite(fd, _DEAD, at)
            sizes = f" sizes {self._first_size}/{len(self._data) + len(added)}"
            header = f"{self._stamp(self._mark())}{sizes}"
            _pwrite(fd, header.ljust(_HEADER - 1).encode() + b"\n", 0)
        finally:
            os.close(fd)

    def _mark(self) -> os.stat_result:
        """Give the directory a time that no change by anybody else can give it."""
        now = os.stat(self._directory)
        mark = max(now.st_mtime_ns, self._before) + 1
        os.utime(self._directory, ns=(now.st_atime_ns, mark))
        marked = os.stat(self._directory)
        if marked.st_mtime_ns != mark:
            raise OSError(f"{self._directory} is on a file system that keeps no exact times")
        return marked

    def _stamp(self, found: os.stat_result) -> str:
        return f"host-local 1 {self._boot} {found.st_dev} {found.st_ino} {found.st_mtime_ns}"


def _record(address: str, owner: bytes) -> bytes:
    return _BEGIN + _clean(owner) + _THEN + address.encode() + _END


def _clean(owner: bytes) -> bytes:
    """The owner without what holds records apart, which none of ours has."""
    return owner.translate(None, _BEGIN + _THEN + _DEAD)


def _boot_id() -> str:
    try:
        return (files.read("/proc/sys/kernel/random/boot_id") or b"").decode().strip()
    except OSError:
        return ""


def _pwrite(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count
