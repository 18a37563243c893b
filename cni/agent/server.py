"""The resident process: accepts, forks, counts; it reads nothing that a caller sends."""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from contextlib import suppress
from getopt import GetoptError, getopt
from typing import TYPE_CHECKING

from cni.agent import keeper_path, keeping, socket_path
from cni.agent.adopted import surroundings
from cni.agent.preload import preload
from cni.agent.spare import fork, memory
from cni.agent.start import SYSTEMD, UPGRADE, Start, listen, start
from cni.core.spawn import clean
from cni.kube import connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.agent.keeping import Keeping
    from cni.agent.spare import Child

CALLS = 16  #: at a time, unless told; a child has 5 to 15 MB of its own
MOST = 256  #: that may be told
_LOOK = 10.0  #: seconds between two looks at whether this agent has been replaced
_PAUSE = 0.05  #: seconds


def main(arguments: Sequence[str]) -> int:
    """`plait agent [--calls N]`: the exit status, 2 for other arguments."""
    calls = CALLS
    try:
        options, rest = getopt(list(arguments), "", ["calls="])
        for _, value in options:
            calls = int(value)
        if rest or not 0 < calls <= MOST:
            raise ValueError(rest or calls)
    except (GetoptError, ValueError) as error:
        _say(f"{error}: see plait agent --help")
        return 2
    if not getattr(sys, "frozen", False):
        _say("only a built executable can be handed calls")
        return 1
    try:
        run(socket_path(os.environ.get("PLAIT_RUN_DIR", "")), calls)
    except OSError as error:
        _say(f"cannot listen: {error}")
        return 1
    return 0


def run(path: str, calls: int) -> None:
    """Serve until SIGTERM or SIGINT, or until another agent listens at `path`.

    It ends when its children have ended; killed, it leaves them to end alone. Where an upgrade has
    replaced the executable it becomes the new one, and the socket stays. Raises OSError when it
    cannot listen.
    """
    # before there is a socket: a call that comes earlier is better off alone
    preload()
    gc.collect()
    gc.freeze()
    agent = _Agent(start(path), path, calls)
    _say(f"process {os.getpid()} listens at {path}")
    agent.serve()
    _say(f"it took {agent.taken} calls")
    if agent.is_ours and agent.has_socket():
        os.unlink(path)


class _Agent:
    """One thread, that waits for callers, for children that end, and for signals."""

    def __init__(self, begun: Start, path: str, calls: int) -> None:
        self._listener, self._path, self._calls = begun.listener, path, calls
        self.is_ours = begun.is_ours
        self._socket = _identity(path)
        self._here, self._memory = surroundings("/proc/self"), memory()
        self._running = set(begun.running)
        self._spare: Child | None = None
        self._connections = listen(keeper_path(path))
        connection.KEEPER = keeper_path(path)
        self._keeping: Keeping | None = None
        self._keep_again = 0.0  #: not before this moment
        self._refused: tuple[int, int] | None = None  #: an executable that cannot be started
        self._is_ending = False
        self.taken = 0  #: calls

    def has_socket(self) -> bool:
        """Whether callers find this agent, and not another."""
        return _identity(self._path) == self._socket

    def serve(self) -> None:
        self._listener.setblocking(False)
        wake = self._hear_signals()
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while self._running or not self._is_ending:
            self._keep_connections()
            self._make_spare()
            ready = {fd for fd, _ in poll.poll(_LOOK * 1000)}
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if not self._is_ending:
                self._become_the_new()
            if not self.has_socket() and not self._is_ending:
                self._lose_socket(poll)
            if self._listener.fileno() in ready:
                self._answer()

    def _lose_socket(self, poll: select.poll) -> None:
        """Somebody has tidied up where it was, or another agent is there."""
        if _identity(self._path) is None:
            _say("the socket was removed: listening again")
            poll.unregister(self._listener)
            self._listener.close()
            self._listener = listen(self._path)
            self._listener.setblocking(False)
            self._socket, self.is_ours = _identity(self._path), True
            poll.register(self._listener, select.POLLIN)
        else:
            _say("another agent listens by now")
            self._is_ending = True

    def _hear_signals(self) -> int:
        """A descriptor that can be read when a signal has come."""
        wake, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def end(*_: object) -> None:
            self._is_ending = True

        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return wake

    def _keep_connections(self) -> None:
        now = time.monotonic()
        if self._keeping is None and not self._is_ending and now >= self._keep_again:
            self._keep_again = now + 1
            with suppress(OSError):
                self._keeping = keeping.fork(self._connections, self._listener)

    def _make_spare(self) -> None:
        if self._spare is None and not self._is_ending and len(self._running) < self._calls:
            with suppress(OSError):  # no memory, no process: calls run cold
                self._spare = fork(self._here, self._memory, self._listener, self._connections)

    def _answer(self) -> None:
        """Hand one call to a child. A connection that is closed tells the caller to go on alone."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            time.sleep(_PAUSE)  # no descriptors left, say: others need the processor
            return
        with connection, suppress(OSError):
            if self._spare is None or self._is_ending:
                return
            child, self._spare = self._spare, None
            self._running.add(child.pid)
            child.hand(connection)
            self.taken += 1

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._running.discard(pid)
                if self._spare is not None and self._spare.pid == pid:
                    self._spare = None
                if self._keeping is not None and self._keeping.pid == pid:
                    os.close(self._keeping.alive)
                    self._keeping = None

    def _become_the_new(self) -> None:
        """If the name that this process was started by leads to another executable now. The process
        stays, and so does the socket: calls wait in its queue, or run cold.
        """
        new = _identity(sys.argv[0])
        if new is None or new in (_identity("/proc/self/exe"), self._refused):
            return
        _say("the executable was replaced: starting the new one")
        told = Start(self._listener, self.is_ours, tuple(self._running)).told()
        environ = {key: value for key, value in os.environ.items() if key not in SYSTEMD}
        os.set_inheritable(self._listener.fileno(), True)
        try:
            os.execve(sys.argv[0], sys.argv, clean({**environ, UPGRADE: told}))  # noqa: S606
        except OSError as error:
            os.set_inheritable(self._listener.fileno(), False)
            self._refused = new
            _say(f"it cannot be started: {error}")


def _identity(path: str) -> tuple[int, int] | None:
    """Of what is at the path; None: nothing."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"plait agent: {text}\n".encode())
