"""A power cut right after the answer: the disk as it is then, without what the kernel kept back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.netns.node import Node


class Disk:
    """A file system in a file: what was not synced is not in the file."""

    def __init__(self, directory: Path) -> None:
        self.image, self.rest = directory / "image", directory / "rest"
        self.top = directory / "mounted"
        with self.image.open("wb") as file:
            file.truncate(64 << 20)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))

    @contextmanager
    def mounted(self, image: Path) -> Iterator[None]:
        self.top.mkdir(exist_ok=True)
        _run("mount", "-o", "loop,commit=300", str(image), str(self.top))
        try:
            yield
        finally:
            _run("umount", str(self.top))

    def cut(self) -> None:
        """The power: `rest` is what is on the disk now."""
        (self.top / "not synced").write_text("x")
        shutil.copyfile(self.image, self.rest)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this kernel has no loop devices")
    return Disk(tmp_path)


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("kind", ["multus", "bridge", "whereabouts"])
def test_what_was_answered_is_there(node: Node, disk: Disk, kind: str, is_first: bool) -> None:
    node.state = disk.top / "state"
    pod = node.pod()
    bridge = confs.bridge(ipam={"type": "whereabouts", "range": "10.1.2.0/24"})
    networks = {
        "cniDir": str(node.state / "multus"),
        "delegates": [{**bridge, "name": f"n{number}"} for number in range(3)],
    }
    conf = {**bridge, "type": kind, **(networks if kind == "multus" else {})}
    with disk.mounted(disk.image):
        if not is_first:  # the files are there
            node.call("ADD", conf, pod).ok()
            node.call("DEL", conf, pod)
        node.before_answer = disk.cut
        node.call("ADD", conf, pod).ok()
        leases = node.leases()
    assert len(leases) == (3 if kind == "multus" else 1)
    with disk.mounted(disk.rest):
        assert not (disk.top / "not synced").exists()
        assert node.leases() == leases
        if kind == "multus":
            record = json.loads((node.state / "multus" / pod.name).read_text())
            assert [each["Conf"]["name"] for each in record] == ["n0", "n1", "n2"]
