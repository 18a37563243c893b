"""A forked child of the agent becomes the executable that asked: same place, same environment.

It refuses, by ending, what it cannot be the same as: then the call runs cold.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from typing import NamedTuple

from cni.agent import PRINTING, READY, lock_path
from cni.agent.alone import alone
from cni.core import skel

_TIMEOUT = 10.0  #: seconds that a caller may take to hand its call over
_MAX = 8 << 20  #: bytes of a call; the kernel takes an environment of 6 MB
_SIGINT = bytes((signal.SIGINT,))
_FDS = 4  #: standard input, output, error; working directory

#: what decides about the meaning of a path, a process, an interface, a host name, a clock
_NAMESPACES = ("net", "mnt", "pid", "user", "uts", "time")
#: of /proc/PID/status: what the kernel lets a process do
_RIGHTS = ("CapEff", "NoNewPrivs", "Seccomp")
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


class Call(NamedTuple):
    """What an executable was started with."""

    plugin: str
    environ: dict[bytes, bytes]
    fds: tuple[int, ...]


class NotHereError(Exception):
    """The call is not one that this process can run as its caller would."""


class Surroundings(NamedTuple):
    """All that must be the same for a call to mean the same: the build, the place, the rights."""

    executable: tuple[int, int]
    root: tuple[int, int]
    namespaces: tuple[str, ...]
    label: bytes  #: SELinux', AppArmor's or the like; files are made with it
    rights: tuple[str, ...]
    umask: int


def surroundings(process: str) -> Surroundings:
    """Of a process by its directory below /proc. Raises OSError when it has ended."""
    try:
        with open(f"{process}/attr/current", "rb") as file:
            label = file.read()
    except OSError:
        label = b""  # a kernel without any
    with open(f"{process}/status") as file:
        status = {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    return Surroundings(
        _identity(f"{process}/exe"),
        _identity(f"{process}/root"),
        tuple(map(_namespace, (f"{process}/ns/{name}" for name in _NAMESPACES))),
        label,
        tuple(status.get(name, "") for name in _RIGHTS),
        int(status["Umask"], 8),
    )


def _namespace(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""  # a kernel without such


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def run(connection: socket.socket, here: Surroundings) -> int:
    """Run one call; returns the exit status. Raises NotHereError or OSError while it has not begun.

    To be called in a child that ends afterwards; `here` is where it is.
    """
    connection.settimeout(_TIMEOUT)
    caller = _peer(connection)
    there = surroundings(f"/proc/{caller}")
    if there._replace(umask=0) != here._replace(umask=0):
        raise NotHereError("the caller is of another build, elsewhere, or has other rights")
    os.umask(there.umask)
    _take_limits(caller)
    connection.send(READY)
    call = _receive(connection)
    _take_on(call)
    _end_with(connection)
    with (
        alone(lock_path(call.plugin, os.environ)),
        open(0, "rb", closefd=False) as stdin,
        open(2, "wb", buffering=0, closefd=False) as stderr,
    ):
        status = skel.main(call.plugin, os.environ, stdin, _Output(connection), stderr)  # type: ignore[arg-type]
    connection.send(bytes((status,)))
    return status


class _Output:
    """Standard output, which tells the caller that something is written to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        try:
            self._connection.send(PRINTING)
        except OSError:
            return len(data)  # the caller was killed, and nobody listens
        left = memoryview(data)
        while left:
            left = left[os.write(1, left) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is kept."""


def _peer(connection: socket.socket) -> int:
    """The caller's process. Raises NotHereError for one that is not root, or out of sight."""
    pid, uid, _ = struct.unpack(
        "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    if uid or not pid:
        raise NotHereError("not of root, or of another PID namespace")
    return int(pid)


def _receive(connection: socket.socket) -> Call:
    data, fds, _, _ = socket.recv_fds(connection, 1 << 16, _FDS, socket.MSG_CMSG_CLOEXEC)
    length = int.from_bytes(data[:4], "little")
    if len(fds) != _FDS or len(data) < 4 or length > _MAX:
        raise NotHereError("not a call")
    body = bytearray(data[4:])
    while len(body) < length:
        more = connection.recv(min(1 << 16, length - len(body)))
        if not more:
            raise NotHereError("the call is cut off")
        body += more
    plugin, *pairs = bytes(body).split(b"\0")
    environ = dict(pair.partition(b"=")[::2] for pair in pairs)
    return Call(os.fsdecode(plugin), environ, tuple(fds))


def _take_limits(caller: int) -> None:
    """Raises NotHereError for such as an agent with fewer rights, or limits, may not have."""
    for which in _LIMITS:
        limit = resource.prlimit(caller, which)
        if limit != resource.getrlimit(which):
            try:
                resource.setrlimit(which, limit)
            except ValueError as error:
                raise NotHereError(str(error)) from None


def _take_on(call: Call) -> None:
    """Be as the caller is, as far as a call can see."""
    for number, fd in enumerate(call.fds[:3]):
        os.dup2(fd, number)
        os.close(fd)
    os.fchdir(call.fds[3])
    os.close(call.fds[3])
    os.environb.clear()
    os.environb.update(call.environ)
    sys.argv[:] = [call.plugin]


def _end_with(connection: socket.socket) -> None:
    """From now on a signal to the caller is one to us, and its death a SIGTERM."""

    def heard(number: int, frame: object) -> None:
        while True:
            try:
                said = connection.recv(1)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if not said:
                signal.signal(signal.SIGIO, signal.SIG_IGN)
            os.kill(os.getpid(), signal.SIGINT if said == _SIGINT else signal.SIGTERM)
            if not said:
                return

    connection.setblocking(False)
    signal.signal(signal.SIGIO, heard)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    heard(signal.SIGIO, None)  # what came before
