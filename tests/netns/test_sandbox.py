"""A path that should lead to a network namespace, and may lead to anything by now."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from cni.host import netns

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.node import Node


def test_what_is_no_namespace_is_as_good_as_gone(tmp_path: Path) -> None:
    """/proc/PID/fd/N may be anything once the process has closed the namespace."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")  # which nobody writes to
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        other = f"/proc/self/fd/{listener.fileno()}"
        found = [*tmp_path.iterdir(), tmp_path, tmp_path / "gone", tmp_path / "file" / "below"]
        for path in (*map(str, found), other, "/dev/null", "/proc/self/ns/mnt", "x" * 5000, ""):
            assert netns.open_if_present(path) is None, path


def test_a_namespace_has_a_number_that_is_never_given_again(node: Node) -> None:
    """An inode number is: /proc/PID/fd/N would be taken for the namespace that was there."""
    seen = set()
    for _ in range(3):
        pod = node.pod()
        sandbox = netns.open_if_present(pod.path)
        assert sandbox is not None
        with sandbox:
            seen.add(sandbox.id)
        pod.destroy()
    assert len(seen) == 3


def test_a_namespace_is_opened() -> None:
    sandbox = netns.open_if_present("/proc/self/ns/net")
    assert sandbox is not None
    with sandbox:
        assert os.fstat(sandbox.fd).st_ino == os.stat("/proc/self/ns/net").st_ino
