"""What an agent starts with: a socket, from systemd, from the release before it, or a new one."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple

UPGRADE = "PLAIT_AGENT_UPGRADE"  #: in the environment of the next release: Start.told
SYSTEMD = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")  #: meant for this process alone
_LISTEN_FD = 3  #: the first that systemd passes on (sd_listen_fds(3))
_BACKLOG = 64


class Start(NamedTuple):
    """What an agent starts with."""

    listener: socket.socket
    is_ours: bool  #: to be removed at the end
    running: tuple[int, ...] = ()  #: children from before an upgrade

    def told(self) -> str:
        """For the environment of the next release."""
        return " ".join(map(str, (self.listener.fileno(), int(self.is_ours), *self.running)))


def start(path: str) -> Start:
    """With the socket that was handed to this process, else with one at `path`. Raises OSError."""
    return _before_upgrade() or _from_systemd() or Start(listen(path), is_ours=True)


def _before_upgrade() -> Start | None:
    told = os.environ.pop(UPGRADE, "")
    if not told:
        return None
    fd, is_ours, *running = map(int, told.split())
    os.set_inheritable(fd, False)
    return Start(socket.socket(fileno=fd), bool(is_ours), tuple(running))


def _from_systemd() -> Start | None:
    """sd_listen_fds(3)"""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or "LISTEN_FDS" not in os.environ:
        return None
    os.set_inheritable(_LISTEN_FD, False)
    return Start(socket.socket(fileno=_LISTEN_FD), is_ours=False)


def listen(path: str) -> socket.socket:
    """A socket that takes the place of what is at `path`, in a directory of root alone."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    listener.bind(temporary)
    os.chmod(temporary, 0o600)
    listener.listen(_BACKLOG)
    os.rename(temporary, path)
    return listener
