"""`plait install --watch`, and the tool as it is called: real processes on a node of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cni.ctl import app
from tests.unit.ctl.installation import CALICO, OTHER, REPOSITORY, SERVER, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOUND = 60.0  #: seconds for what takes a second


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Watcher:
    """A `plait install --watch` that runs; what it says goes to a file."""

    def __init__(self, node: Node, log: Path, *more: str) -> None:
        self.log = log
        self.ready = log.with_suffix(".ready")
        options = ["--watch", "--interval", "0.05", "--ready-file", str(self.ready), *more]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cni", *node.arguments(*options)],
                cwd=REPOSITORY,
                env={"PATH": os.environ["PATH"], **SERVER},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(BOUND)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def watcher(node: Node, tmp_path: Path) -> Iterator[Watcher]:
    running = Watcher(node, tmp_path / "log")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_it_installs_says_so_and_stays(node: Node, watcher: Watcher) -> None:
    until(watcher.ready.exists)
    assert node.plugin["delegates"] == [CALICO]
    before = node.content()
    assert watcher.end() == 0
    assert node.content() == before
    said = watcher.log.read_text()
    assert "signal=SIGTERM" in said and "Traceback" not in said
    assert said.count("wrote the conflist") == said.count("installed Plait") == 1


def test_whatever_changes_is_followed(node: Node, watcher: Watcher) -> None:
    until(watcher.ready.exists)
    node.give_account("token-2")
    until(lambda: node.token == "token-2")
    node.put("05-other.conf", OTHER)
    until(lambda: node.plugin["delegates"] == [OTHER])
    (node.bin / "multus").unlink()
    until((node.bin / "multus").exists)
    node.kubeconfig.unlink()
    until(node.kubeconfig.exists)
    node.conflist.rename(node.conf / "00-multus.conflist.cilium_bak")
    until(node.conflist.exists)
    assert watcher.says("found=00-multus.conflist.cilium_bak")()
    assert watcher.end(signal.SIGINT) == 0


def test_a_node_that_is_not_ready_yet(node: Node, tmp_path: Path) -> None:
    """One line for a cause, however long it lasts; then it goes on by itself."""
    (node.conf / "10-calico.conflist").unlink()
    (tmp_path / "log.ready").write_text("of an earlier container")
    watcher = Watcher(node, tmp_path / "log")
    until(watcher.says("no default network yet"))
    assert not watcher.ready.exists() and not node.conflist.exists()
    node.give_account("")
    until(watcher.says("holds no token"))
    node.give_account("token-3")
    node.put("10-calico.conflist", CALICO)
    until(watcher.ready.exists)
    assert watcher.end() == 0
    lines = watcher.log.read_text().splitlines()
    assert len([each for each in lines if 'msg="no default network yet' in each]) <= 2
    assert any("all is well again" in each for each in lines)


def test_ready_is_what_is_installed(node: Node, watcher: Watcher) -> None:
    until(watcher.ready.exists)
    (node.bin / "bridge").unlink()
    (node.bin / "bridge").write_text("another's, which is not replaced without --force")
    until(lambda: not watcher.ready.exists())
    (node.bin / "bridge").unlink()
    until(watcher.ready.exists)
    assert watcher.end() == 0


def test_sigterm_while_the_installer_runs(node: Node, tmp_path: Path) -> None:
    """Its shell hangs; the signal reaches it, and what comes later finds nothing half done."""
    script = node.source / ".plait/install"
    kept = script.read_text()
    script.write_text(f"echo $$ >{tmp_path}/pid\nsleep 1000\n")
    watcher = Watcher(node, tmp_path / "log")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    assert watcher.end() == 0
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not node.conflist.exists()
    script.write_text(kept)
    assert node.install().is_complete()


def test_a_killed_watcher_is_followed_by_another(node: Node, tmp_path: Path) -> None:
    for number in range(2):
        watcher = Watcher(node, tmp_path / f"log{number}")
        until(watcher.ready.exists)
        conflist = node.conflist.stat().st_ino
        assert watcher.end(signal.SIGKILL) == -signal.SIGKILL
        assert node.conflist.stat().st_ino == conflist


def call(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cni", *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **SERVER},
        capture_output=True,
        text=True,
        timeout=BOUND,
    )


def test_once(node: Node) -> None:
    done = call(node, *node.arguments("--option", "logLevel=debug"))
    assert (done.returncode, done.stdout) == (0, "")
    assert node.plugin["logLevel"] == "debug"
    places = ["--root", str(node.root), "--source", str(node.source)]
    done = call(node, "uninstall", *places)
    assert (done.returncode, done.stdout) == (0, "")
    assert node.seen_by_runtime() == ["10-calico.conflist"]


def test_once_with_an_error(node: Node) -> None:
    node.put("05-broken.conf", "{")
    (node.conf / "10-calico.conflist").unlink()
    done = call(node, *node.arguments())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("plait: no default network yet; 05-broken.conf")


@pytest.mark.parametrize(
    "arguments",
    [
        ["more"],
        ["--option", "nothing=1"],
        ["--root", "relative"],
        ["--bin-dir", "relative"],
        ["--interval", "0"],
        ["--ready-file", "relative"],
        ["--kubeconfig", "relative"],
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert app.main(["install", *arguments]) == 2
    assert "Usage: plait install" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert app.main([command, "--help"]) == 0
    assert f"Usage: plait {command}" in capsys.readouterr().out
    assert app.main(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_documents_are_whole_whenever_they_are_read(node: Node, watcher: Watcher) -> None:
    """A runtime that looks all the time, while token and default network change."""
    until(watcher.ready.exists)
    for number in range(20):
        node.give_account(f"token-{number}")
        (node.conf / ".new").write_text(json.dumps({**CALICO, "number": number}))
        (node.conf / ".new").rename(node.conf / "10-calico.conflist")
        while (node.token, node.plugin["delegates"][0].get("number")) != (
            f"token-{number}",
            number,
        ):
            assert watcher.process.poll() is None
    assert watcher.end() == 0
