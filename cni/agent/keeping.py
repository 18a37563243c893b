"""The agent's second process, which keeps connections to API servers (cni.kube.keeper)."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING, NamedTuple

from cni.kube.keeper import Keeper

if TYPE_CHECKING:
    import socket


class Keeping(NamedTuple):
    """The process, and the end of a pipe: when nobody has that any more, it ends."""

    pid: int
    alive: int


def fork(listener: socket.socket, *closed: socket.socket) -> Keeping:
    """A process that serves calls at `listener` until the agent and its children have ended.

    Raises OSError.
    """
    ends, alive = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(ends)
        os.close(alive)
        raise
    if pid:
        os.close(ends)
        return Keeping(pid, alive)
    status = 1
    try:
        os.close(alive)
        for each in closed:
            each.close()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # calls that are running need it
        Keeper().serve(listener, ends)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
