"""Other executables: fed, heard, bounded, and never left behind."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cni.core import signals, spawn
from cni.core.errors import CniError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SH = "/bin/sh"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def sh(script: str, stdin: bytes = b"", timeout: float = 30, **environ: str) -> spawn.Completed:
    world = {"PATH": os.environ["PATH"]} | environ
    return spawn.run([SH, "-c", script], world, stdin, timeout)


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("echo out; echo err >&2; exit 3", (3, b"out\n", b"err\n")),
        ("cat", (0, b"input", b"")),
        ("exec >&-; exec 2>&-; cat >/dev/null", (0, b"", b"")),
        ("kill -9 $$", (-9, b"", b"")),
        ("true", (0, b"", b"")),
    ],
)
def test_outcome(script: str, wanted: tuple[int, bytes, bytes]) -> None:
    assert sh(script, b"input") == wanted


def test_much_in_both_directions_at_once() -> None:
    data = os.urandom(1 << 20)
    done = sh("cat; cat /dev/zero | head -c 1000000 >&2", data)
    assert (done.stdout == data, len(done.stderr)) == (True, 1_000_000)


def test_one_that_never_reads() -> None:
    assert sh("echo done", b"x" * (4 << 20)) == (0, b"done\n", b"")


def test_output_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """And read to its end all the same, so that the child is not stuck."""
    monkeypatch.setattr(spawn, "MAX_OUTPUT", 100_000)
    done = sh("head -c 3000000 /dev/zero; echo end >&2")
    assert done.status == 0
    assert 0 < len(done.stdout) <= 100_000
    assert done.stderr == b"end\n"


def test_timeout(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="/bin/sh did not end in time") as raised:
        sh(f"echo $$ > {tmp_path}/pid; sleep 1000", timeout=0.3)
    assert raised.value.code == 11
    assert_gone(tmp_path)


def test_timeout_of_one_that_closes_its_outputs_and_stays(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="did not end in time"):
        sh(f"echo $$ > {tmp_path}/pid; exec >&- 2>&-; sleep 1000", timeout=0.3)
    assert_gone(tmp_path)


def test_timeout_of_one_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "_GRACE", 0.2)
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    with pytest.raises(CniError):
        sh(script, timeout=0.5)
    assert_gone(tmp_path)


def test_signal_is_passed_on(tmp_path: Path) -> None:
    """To the children of a shell too, which dies alone otherwise."""
    signals.install()
    for outputs in ("", "exec >&- 2>&-;"):
        signals.install()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted):
            sh(f"sleep 1000 & echo $! > {tmp_path}/pid; {outputs} wait")
        assert_gone(tmp_path)


def test_child_does_not_inherit_what_we_ignore_or_block() -> None:
    signals.install()
    with signals.blocked():
        done = sh("grep -E 'Sig(Blk|Ign)' /proc/self/status")
    masks = {line.split(b":")[0]: int(line.split()[1], 16) for line in done.stdout.splitlines()}
    ours = (1 << signal.SIGTERM - 1) | (1 << signal.SIGINT - 1) | (1 << signal.SIGPIPE - 1)
    assert masks[b"SigBlk"] == 0
    assert masks[b"SigIgn"] & ours == 0


def test_environment_is_the_given_one_without_the_loader_s() -> None:
    done = sh("env", _PYI_ARCHIVE_FILE="x", _MEIPASS2="y", KEEP="z", LD_LIBRARY_PATH="/lib")
    names = {line.split(b"=")[0] for line in done.stdout.splitlines()}
    assert names - {b"PWD", b"SHLVL", b"_", b"OLDPWD"} == {b"PATH", b"KEEP", b"LD_LIBRARY_PATH"}


@pytest.mark.parametrize(
    ("before", "after"), [({}, None), ({"LD_LIBRARY_PATH_ORIG": "/mine"}, "/mine")]
)
def test_frozen_parent_keeps_its_libraries_to_itself(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None
) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    cleaned = spawn.clean({"LD_LIBRARY_PATH": "/bundle", **before})
    assert cleaned == ({} if after is None else {"LD_LIBRARY_PATH": after})


def test_what_cannot_be_started_leaves_no_descriptors(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no shebang")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        spawn.run([str(tmp_path / "nope")], {})
    with pytest.raises(PermissionError):
        spawn.run([str(plain)], {})
    plain.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        spawn.run([str(plain)], {})
    sh("true")
    assert len(os.listdir("/proc/self/fd")) == before


def test_executable_that_is_being_written(tmp_path: Path) -> None:
    """ETXTBSY: an installer is replacing the plugin at this moment."""
    tool = tmp_path / "tool"
    shutil.copy("/bin/true", tool)
    tool.chmod(0o755)
    fd = os.open(tool, os.O_WRONLY)
    threading.Timer(0.1, os.close, (fd,)).start()
    assert spawn.run([str(tool)], {}).status == 0


def test_find(tmp_path: Path) -> None:
    for each in ("a", "b"):
        (tmp_path / each).mkdir()
    (tmp_path / "a" / "tool").mkdir()  # a directory is no plugin
    (tmp_path / "b" / "tool").touch()
    (tmp_path / "b" / "link").symlink_to("tool")
    path = [str(tmp_path / each) for each in ("nope", "a", "b")]
    assert spawn.find("tool", path) == str(tmp_path / "b" / "tool")
    assert spawn.find("link", path) == str(tmp_path / "b" / "link")
    assert spawn.find("other", path) is None
    assert spawn.find("tool", []) is None


def assert_gone(tmp_path: Path) -> None:
    """The process named in `pid` is no more, or is about to be reaped by init."""
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} was left behind")
