"""The guest's initial memory disk: busybox, and the modules that bring the host's files."""

from __future__ import annotations

import lzma
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: everything else can be loaded once these have brought the host's files
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")


def build(busybox: Path, modules: Path, init: str, files: Mapping[str, str]) -> bytes:
    """`files` go to /vm, by name."""
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "modules", "vm"):
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, init.encode())
    order = []
    for path in closure(modules, MODULES):
        archive.add(f"modules/{_name(path)}", stat.S_IFREG | 0o644, _content(modules / path))
        order.append(f"{_name(path)}\n")
    archive.add("modules/order", stat.S_IFREG | 0o644, "".join(order).encode())
    for name, text in files.items():
        archive.add(f"vm/{name}", stat.S_IFREG | 0o644, text.encode())
    return archive.content()


class Cpio:
    """An archive in the kernel's format, newc; no root is needed to put a device node in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        encoded = name.encode() + b"\0"
        inode = len(self._parts) + 1
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % each for each in fields) + encoded
        self._parts.append(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def content(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def closure(modules: Path, names: Sequence[str]) -> list[str]:
    """The files of these modules and of what they need, in the order to load them."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    files = {_name(path).removesuffix(".ko").replace("-", "_"): path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        if path not in order:
            for other in reversed(needs[path]):
                add(other)
            order.append(path)

    for name in names:
        if name in files:  # else it is built in
            add(files[name])
    return order


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".xz")


def _content(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
