"""One life of the guest: it boots, runs one command, and hands back what the command says.

The command finds the host's files, at the same paths. It can write on them; what it wrote is gone
with the guest. It has no network but the cards.
"""

from __future__ import annotations

import ctypes
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tests.vm import initramfs, kit, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES = Path(__file__).resolve().parent / "guest"
TIMED_OUT, NO_GUEST = 124, 125
BOOT = 180.0  #: seconds that no boot needs
ATTEMPTS = 3
#: of the caller's environment
PASSED_ON = ("PATH", "HOME", "LANG", "TERM", "XDG_CACHE_HOME", "PLAIT_BIN", "PLAIT_CNITOOL")


class DiedError(Exception):
    """The guest ended without having told an exit status."""


def main(argv: list[str], usage: str) -> NoReturn:
    timeout = 3600.0
    if argv[:1] == ["--timeout"]:
        timeout = float(argv[1])
        argv = argv[2:]
    terminal = not argv and sys.stdin.isatty()
    if not terminal and (not argv or argv[0].startswith("-")):
        raise SystemExit(usage)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    kit.fetch()
    sys.exit(boot(argv or ["/bin/bash"], timeout, terminal=terminal))


def boot(command: Sequence[str], timeout: float, *, terminal: bool = False) -> int:
    """The command's exit status; its output goes to ours as it comes.

    A guest that fails before the command has begun is tried again, without KVM: QEMU, seldom,
    does not survive the boot.
    """
    accelerator = machine.accelerator()
    for _ in range(ATTEMPTS):
        guest = Guest(command, accelerator, terminal=terminal)
        try:
            return guest.run(timeout)
        except DiedError as error:
            print(f"vm: {error}\n{guest.log()}", file=sys.stderr, flush=True)
            if guest.began:
                break
        finally:
            guest.close()
        accelerator = "tcg"
    return NO_GUEST


class Guest:
    """QEMU's process, and the channels to its guest."""

    def __init__(self, command: Sequence[str], accelerator: str, *, terminal: bool) -> None:
        self._cleanup = ExitStack()
        directory = Path(tempfile.mkdtemp(prefix="plait-vm-"))
        self._cleanup.callback(shutil.rmtree, directory)
        self._logs = directory / "qemu", directory / "console"
        self._report = b""  #: "start", and then the exit status
        files = {"stage2": (STAGES / "stage2").read_text(), "command": _script(command)}
        if terminal:
            columns, rows = os.get_terminal_size(0)
            files["terminal"] = ""
            files["command"] = f"stty rows {rows} columns {columns}\n{files['command']}"
            # QEMU leaves it raw when it is killed
            self._cleanup.callback(termios.tcsetattr, 0, termios.TCSADRAIN, termios.tcgetattr(0))
        disk = directory / "initramfs"
        init = (STAGES / "stage1").read_text()
        disk.write_bytes(initramfs.build(kit.ROOT / "usr/bin/busybox", kit.modules(), init, files))
        argv = [kit.qemu(), *machine.options(accelerator), *kit.firmware()]
        argv += ["-kernel", str(kit.kernel()), "-initrd", str(disk)]
        argv += ["-append", machine.kernel_command_line(accelerator)]
        argv += [*machine.directory("host", "/"), *machine.directory("packages", str(kit.ROOT))]
        argv += ["-serial", f"file:{self._logs[1]}", "-device", "virtio-serial-pci,bus=pcie.0"]
        self._channels: dict[socket.socket, str] = {}
        theirs = []
        for name in ("report",) if terminal else ("report", "out", "err"):
            mine, other = socket.socketpair()
            self._channels[self._cleanup.enter_context(mine)] = name
            theirs.append(other)
            argv += ["-chardev", f"socket,id={name},fd={other.fileno()}"]
            argv += ["-device", f"virtserialport,chardev={name},name={name}"]
        if terminal:
            argv += ["-chardev", "stdio,id=terminal,signal=off"]
            argv += ["-device", "virtconsole,chardev=terminal"]
        with self._logs[0].open("w") as errors:
            self._qemu = subprocess.Popen(
                argv, env=kit.environment(), stderr=errors,
                stdin=None if terminal else subprocess.DEVNULL,
                pass_fds=[each.fileno() for each in theirs], preexec_fn=_die_with_parent,
            )  # fmt: skip
        for each in theirs:
            each.close()

    @property
    def began(self) -> bool:
        return bool(self._report)

    def run(self, timeout: float) -> int:
        """Until the command has ended, or its time is over. Raises DiedError."""
        started = time.monotonic()
        channels = dict(self._channels)
        while channels:
            took = time.monotonic() - started
            if took > timeout:
                print(f"vm: timed out after {timeout:g} s\n{self.log()}", file=sys.stderr)
                return TIMED_OUT
            if took > BOOT and not self.began:
                raise DiedError(f"it did not boot within {BOOT:g} s")
            ready = select.select(list(channels), [], [], 1)[0]
            if not ready and len(self._report.split()) == 2:
                break  # all is said; it is slow to switch off
            for channel in ready:
                data = _receive(channel)
                self._take(channels[channel], data)
                if not data:
                    del channels[channel]
        words = self._report.split()
        if len(words) != 2:
            raise DiedError("the guest ended without an exit status")
        return int(words[1])

    def _take(self, name: str, data: bytes) -> None:
        if name == "report":
            self._report += data
        else:
            stream = sys.stdout if name == "out" else sys.stderr
            stream.buffer.write(data)
            stream.buffer.flush()

    def log(self) -> str:
        """The last words of QEMU, and of the guest's kernel."""
        lines = [line for log in self._logs for line in log.read_text(errors="replace").split("\n")]
        return "\n".join(lines[-40:])

    def close(self) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._cleanup.close()


def _script(command: Sequence[str]) -> str:
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # the machine's own /tmp may hold much, and the overlay is slow at removing it
    environ |= {"PLAIT_VM": "1", "TMPDIR": "/run/tmp"}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environ.items()]
    lines += [f"cd {shlex.quote(os.getcwd())} || exit", f"exec {shlex.join(command)}", ""]
    return "\n".join(lines)


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except ConnectionResetError:
        return b""


def _die_with_parent() -> None:
    """In QEMU's process, before it is QEMU: end when we end, however that comes."""
    pr_set_pdeathsig: Any = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
