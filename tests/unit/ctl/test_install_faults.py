"""Whatever fails or kills the installer: the runtime sees what was there, or all of the new."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import spawn
from cni.core.errors import CniError
from cni.ctl.install import executables, removal
from cni.ctl.install.place import Place
from cni.kube import access
from tests.unit.ctl.installation import CALICO, ORIGINAL, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS = ("open", "rename", "fsync", "unlink", "mkdir", "rmdir", "ftruncate", "truncate")
CHANGED = {**CALICO, "plugins": CALICO["plugins"][:1]}


class Fault:
    """Strikes at the n-th call that changes the disk, before or after it has happened."""

    def __init__(self, nth: int, *, after: bool, kill: bool) -> None:
        self.nth, self.after, self.kill = nth, after, kill
        self.calls = 0

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **kwargs)
            self.calls += 1
            if self.calls != self.nth:
                return call(*args, **kwargs)
            try:
                if self.after:
                    call(*args, **kwargs)
            finally:
                if self.kill:
                    os._exit(9)
            raise OSError(errno.EIO, "made to fail by the test", str(args[:1]))

        return faulty


@contextmanager
def struck(fault: Fault) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, fault.wrap(name, getattr(os, name)))
        patch.setattr(spawn, "run", fault.wrap("spawn", spawn.run))
        yield


def check(node: Node, *, before: bytes | None) -> None:
    """What a runtime could do now works."""
    seen = node.seen_by_runtime()
    assert set(seen) <= {"00-multus.conf", "00-multus.conflist", "10-calico.conflist"}
    if before is not None:
        assert seen[0].startswith("00-multus")
    if node.kubeconfig.exists():
        assert node.kubeconfig.read_text() == "kind: Config\n" or node.token
    if node.conflist.exists() and node.conflist.read_bytes() != before:
        assert node.plugin["delegates"]
        assert access.from_kubeconfig(str(node.kubeconfig)).token
        assert os.access(node.bin / "multus", os.X_OK)


def bare(node: Node) -> dict[str, Any]:
    return {}


def changed(node: Node) -> dict[str, Any]:
    node.install()
    node.give_account("token-2")
    node.put("10-calico.conflist", CHANGED)
    return {}


def original(node: Node) -> dict[str, Any]:
    node.put("00-multus.conf", ORIGINAL)
    node.kubeconfig.parent.mkdir()
    node.kubeconfig.write_text("kind: Config\n")
    return {"replaces_multus": True}


def originals_list(node: Node) -> dict[str, Any]:
    listed = {"cniVersion": "1.0.0", "name": "n", "plugins": [ORIGINAL]}
    node.put("00-multus.conflist", listed)
    return {"replaces_multus": True}


@pytest.mark.parametrize("prepare", [bare, changed, original, originals_list])
@pytest.mark.parametrize("way", ["fails", "killed before", "killed after"])
def test_at_every_call(tmp_path: Path, prepare: Callable[[Node], Any], way: str) -> None:
    nth, struck_once = 0, True
    while struck_once:
        nth += 1
        (tmp_path / str(nth)).mkdir()
        node = Node(tmp_path / str(nth))
        wish = prepare(node)
        before = None
        if prepare is not bare:
            before = (node.conf / node.seen_by_runtime()[0]).read_bytes()
        installer = node.installer(**wish)
        if way == "fails":
            fault = Fault(nth, after=False, kill=False)
            with struck(fault):
                try:
                    installer.run()
                except (CniError, OSError):
                    pass
            struck_once = fault.calls >= nth
        else:
            struck_once = dies(installer.run, Fault(nth, after="after" in way, kill=True))
        check(node, before=before)
        installer = node.install(**wish)  # the next pass, or the restarted container
        assert installer.is_complete()
        check(node, before=None)
        assert node.seen_by_runtime() == ["00-multus.conflist", "10-calico.conflist"]
        leftovers = [path for path in node.content() if path.endswith(".tmp")]
        assert leftovers == []
    assert nth > 5


def dies(step: Callable[[], object], fault: Fault) -> bool:
    """Whether a process that does the step was killed in it."""
    pid = os.fork()
    if not pid:
        with struck(fault):
            try:
                step()
            finally:
                os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("way", ["fails", "killed before", "killed after"])
def test_removal_at_every_call(tmp_path: Path, way: str) -> None:
    nth, struck_once = 0, True
    while struck_once:
        nth += 1
        (tmp_path / str(nth)).mkdir()
        node = Node(tmp_path / str(nth))
        wish = original(node)
        (node.bin / "multus").write_text("the original")
        before = node.content()
        node.install(**wish, others=executables.REPLACE_OTHERS)
        uninstall = partial(removal.uninstall, Place(str(node.root)), str(node.source))
        fault = Fault(nth, after="after" in way, kill=way != "fails")
        if way == "fails":
            with struck(fault):
                try:
                    uninstall()
                except (CniError, OSError):
                    pass
            struck_once = fault.calls >= nth
        else:
            struck_once = dies(uninstall, fault)
        uninstall()
        assert node.content() == before
    assert nth > 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Node]:
    """A node whose directory of configurations is a file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    node = Node(tmp_path)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(node.conf)]
    subprocess.run(command, check=True)
    try:
        node.put("10-calico.conflist", CALICO)
        yield node
    finally:
        subprocess.run(["umount", str(node.conf)], check=True)


def fill(node: Node) -> Path:
    ballast = node.conf / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return ballast


def test_a_full_disk_keeps_what_is_there(small_disk: Node) -> None:
    node = small_disk
    installer = node.install()
    conflist, kubeconfig = node.conflist.read_bytes(), node.kubeconfig.read_bytes()
    node.put("10-calico.conflist", CHANGED)
    node.give_account("token-2")
    ballast = fill(node)
    with pytest.raises(CniError, match=r"ENOSPC.* / .*ENOSPC"):
        installer.run()
    assert (node.conflist.read_bytes(), node.kubeconfig.read_bytes()) == (conflist, kubeconfig)
    assert sorted(each.name for each in node.conf.iterdir()) == [
        "00-multus.conflist",
        "10-calico.conflist",
        "ballast",
        "multus.d",
    ]
    ballast.unlink()
    installer.run()
    assert node.plugin["delegates"] == [CHANGED] and node.token == "token-2"


def test_a_full_disk_at_first(small_disk: Node) -> None:
    node = small_disk
    ballast = fill(node)
    with pytest.raises((CniError, OSError)):
        node.install()
    assert node.seen_by_runtime() == ["10-calico.conflist"]
    ballast.unlink()
    assert node.install().is_complete()
    json.loads(node.conflist.read_bytes())
