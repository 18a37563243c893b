"""Children of the agent: one waits, made ready before there is a call for it."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import traceback
from typing import TYPE_CHECKING, NamedTuple

from cni.agent import adopted
from cni.agent.adopted import NotHereError

if TYPE_CHECKING:
    from cni.agent.adopted import Surroundings

_IDLE = 30  #: ms without a call, until there is time to make ready
_POPULATE_READ, _POPULATE_WRITE = 22, 23  #: madvise(2), since Linux 5.14

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Child(NamedTuple):
    """A process that waits for the one call that it will run."""

    pid: int
    handing: socket.socket

    def hand(self, connection: socket.socket) -> None:
        """Raises OSError when it has ended."""
        with self.handing:
            socket.send_fds(self.handing, [b"\0"], [connection.fileno()])


class Memory(NamedTuple):
    """Where a process has its pages: (start, bytes, how to populate them)."""

    regions: tuple[tuple[int, int, int], ...]


def memory() -> Memory:
    """This process's. A fork shares its pages: each costs a fault when it is first touched."""
    regions = []
    with open("/proc/self/maps") as file:
        for line in file:
            span, rights, *_ = line.split(maxsplit=2)
            start, end = (int(each, 16) for each in span.split("-"))
            if rights == "rw-p":
                regions.append((start, end - start, _POPULATE_WRITE))
            elif rights == "r-xp":
                regions.append((start, end - start, _POPULATE_READ))
    return Memory(tuple(regions))


def fork(here: Surroundings, pages: Memory, *closed: socket.socket) -> Child:
    """A child that ends after one call, or with the agent. Raises OSError."""
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid:
        its.close()
        return Child(pid, ours)
    status = 1
    try:
        for each in (ours, *closed):
            each.close()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()  # as in a cold process
        status = _wait(its, here, pages)
    except (NotHereError, OSError):
        pass
    except BaseException:
        traceback.print_exc()  # to the caller's standard error, if it has handed that over
    finally:
        os._exit(status)


def _wait(handed: socket.socket, here: Surroundings, pages: Memory) -> int:
    poll = select.poll()
    poll.register(handed, select.POLLIN)
    if not poll.poll(_IDLE):
        for region in pages.regions:
            _libc.madvise(*region)  # an older kernel refuses, and nothing is lost
    _, fds, _, _ = socket.recv_fds(handed, 1, 1, socket.MSG_CMSG_CLOEXEC)
    handed.close()
    if not fds:
        return 0  # the agent has ended
    with socket.socket(fileno=fds[0]) as connection:
        return adopted.run(connection, here)
