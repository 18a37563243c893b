"""Hands a call over to the agent, if there is one for it.

Runs before anything of ours is imported, so it takes only what is built into the interpreter.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports enum
import _socket
import os
import sys

from cni.agent import PATIENCE, PRINTING, READY, lock_path, socket_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

_OWN = ("/proc/self/", "/proc/thread-self/", "/dev/fd/")
_PEER = 12  #: bytes of a struct ucred: pid, uid, gid


def call(plugin: str, environ: Mapping[str, str]) -> int | None:
    """The exit status of the call, which the agent has run; None: nothing has, run it here.

    PLAIT_AGENT=off runs it here in any case, PLAIT_AGENT=only in none: to see what an agent does.
    """
    wish = environ.get("PLAIT_AGENT", "")
    # a path that another process would read as its own
    if os.path.normpath(environ.get("CNI_NETNS", "")).startswith(_OWN):
        return None
    # and a variable without a name, which a process can only be started with
    status = None if wish == "off" or "" in environ else _call(plugin, environ)
    if status is None and (lock := lock_path(plugin, environ)) and os.path.exists(lock):
        from cni.agent.alone import alone

        with alone(lock):
            pass
    if status is None and wish == "only":
        os.write(1, _error("no agent takes the call, and PLAIT_AGENT=only"))
        return 1
    return status


def _call(plugin: str, environ: Mapping[str, str]) -> int | None:
    if os.geteuid():
        return None
    agent = _connected(socket_path(environ.get("PLAIT_RUN_DIR", "")))
    if agent is None:
        return None
    try:
        if agent.recv(1) != READY:
            return None
        _hand_over(agent, plugin, environ)
    except OSError:
        return None  # it has not got all of the call, and will do nothing
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda number, frame: _pass_on(agent, number, frame))
    agent.settimeout(None)
    return _follow(agent)


def _connected(path: str) -> _socket.socket | None:
    """A connection to the agent of root, whose directory only root can write."""
    try:
        directory, there = os.stat(os.path.dirname(path)), os.stat(path)
    except OSError:
        return None
    if directory.st_uid or there.st_uid or directory.st_mode & 0o022:
        return None
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        agent.settimeout(PATIENCE)
        agent.connect(path)
    except OSError:
        return None
    peer = agent.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEER)
    return None if int.from_bytes(peer[4:8], sys.byteorder) else agent


def _hand_over(agent: _socket.socket, plugin: str, environ: Mapping[str, str]) -> None:
    """Raises OSError when it has not taken the whole call."""
    words = [plugin, *(f"{key}={value}" for key, value in environ.items())]
    body = b"\0".join(map(os.fsencode, words))
    message = len(body).to_bytes(4, "little") + body
    cwd = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2, cwd))
        sent = agent.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    finally:
        os.close(cwd)
    if sent < len(message):  # else the call may have ended, and the connection with it
        agent.sendall(message[sent:])


def _pass_on(agent: _socket.socket, number: int, frame: FrameType | None) -> None:
    try:
        agent.send(bytes((number,)), _socket.MSG_DONTWAIT)
    except OSError:
        pass  # it has just ended


def _follow(agent: _socket.socket) -> int:
    """Wait for the end of the call; only who has printed nothing is spoken for here."""
    is_printed = False
    while True:
        try:
            said = agent.recv(1)
        except OSError:
            said = b""
        if said == PRINTING:
            is_printed = True
        elif said:
            return said[0]
        else:
            break
    if not is_printed:
        os.write(1, _error("the process that ran this call for the agent was killed"))
    return 1


def _error(msg: str) -> bytes:
    return f'{{"cniVersion": "1.1.0", "code": 11, "msg": "{msg}"}}\n'.encode()
