"""Run another executable: a foreign plugin, nft, iptables.

subprocess costs 8 ms to import; posix_spawn and a poll loop are all that is needed. May be used
by every layer.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core import signals, trace
from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_OUTPUT = 16 << 20  #: bytes kept of standard output and of standard error
_GRACE = 2.0  #: seconds between SIGTERM and SIGKILL when we are interrupted ourselves


class Completed(NamedTuple):
    """How it ended: exit status (negative: killed by that signal), and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a frozen executable's loader put in it for itself."""
    env = {k: v for k, v in environ.items() if not k.startswith(("_PYI_", "_MEI"))}
    if getattr(sys, "frozen", False):
        before = env.pop("LD_LIBRARY_PATH_ORIG", None)
        env.pop("LD_LIBRARY_PATH", None)
        if before is not None:
            env["LD_LIBRARY_PATH"] = before
    return env


def find(name: str, directories: Sequence[str]) -> str | None:
    """The first regular file of that name, symbolic links followed."""
    for directory in directories:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    return None


def run(
    argv: list[str], environ: Mapping[str, str], stdin: bytes = b"", timeout: float = 0
) -> Completed:
    """Run argv[0] (a path) to its end, feeding `stdin`, collecting both outputs.

    Raises OSError when it cannot be started, CniError 11 after `timeout` seconds (0: none).
    Interrupted, it passes the signal on and waits a little, so that no child outlives us.
    """
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    pid = 0
    try:
        try:
            pid = _spawn(argv, clean(environ), (in_read, out_write, err_write))
        except BaseException:
            for fd in (in_write, out_read, err_read):
                os.close(fd)
            raise
        finally:
            for fd in (in_read, out_write, err_write):
                os.close(fd)
        deadline = time.monotonic() + timeout if timeout else None
        with trace.span(trace.PROCESSES):
            out, err = _converse(in_write, stdin, out_read, err_read, deadline, argv[0])
            status = _reap(pid, deadline, argv[0])
        return Completed(os.waitstatus_to_exitcode(status), out, err)
    except BaseException:
        if pid:
            _end(pid)
        raise


def _spawn(argv: list[str], environ: dict[str, str], stdio: tuple[int, int, int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
    for attempt in range(6):  # libcni's own bound for a plugin that is just being replaced
        try:
            return os.posix_spawn(
                argv[0],
                argv,
                environ,
                file_actions=actions,
                setpgroup=0,
                setsigmask=[],
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGPIPE],
            )
        except OSError as error:
            if error.errno != 26 or attempt == 5:  # ETXTBSY
                raise
            signals.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


def _converse(
    in_write: int, stdin: bytes, out_read: int, err_read: int, deadline: float | None, name: str
) -> tuple[bytes, bytes]:
    """Feed and collect at once, so that neither side waits for a full pipe."""
    collected: dict[int, list[bytes]] = {out_read: [], err_read: []}
    sizes = {out_read: 0, err_read: 0}
    pending = memoryview(stdin)
    poll = select.poll()
    for fd in (out_read, err_read):
        poll.register(fd, select.POLLIN)
    os.set_blocking(in_write, False)
    poll.register(in_write, select.POLLOUT)
    open_fds = {in_write, out_read, err_read}
    try:
        while open_fds:
            wait = None
            if deadline is not None:
                wait = max(0, deadline - time.monotonic()) * 1000
            with signals.waiting():
                events = poll.poll(wait)
            if not events and wait is not None:
                raise _late(name)
            for fd, _ in events:
                if fd == in_write:
                    try:
                        pending = pending[os.write(fd, pending[:65536]) :]
                    except BrokenPipeError:
                        pending = pending[:0]  # it has seen enough
                    if pending:
                        continue
                else:
                    chunk = os.read(fd, 65536)
                    if chunk:
                        sizes[fd] += len(chunk)
                        if sizes[fd] <= MAX_OUTPUT:
                            collected[fd].append(chunk)
                        continue
                poll.unregister(fd)
                os.close(fd)
                open_fds.discard(fd)
    finally:
        for fd in open_fds:
            os.close(fd)
    return b"".join(collected[out_read]), b"".join(collected[err_read])


def _reap(pid: int, deadline: float | None, name: str) -> int:
    """The wait status of a child that has closed its outputs: it ends now, as a rule."""
    pause = 0.0005
    while True:
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            return status
        if deadline is not None and time.monotonic() > deadline:
            raise _late(name)
        signals.sleep(pause)
        pause = min(pause * 2, 0.05)


def _late(name: str) -> CniError:
    return CniError(Code.TRY_AGAIN_LATER, f"{name} did not end in time")


def _end(pid: int) -> None:
    """End the process and what it has started: a shell does not pass a signal on."""
    try:
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
