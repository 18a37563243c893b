"""Packs compiled modules into a file that boot.py reads."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = 16  #: bytes before the code in a .pyc file (PEP 552)


def pack(compiled: dict[str, Path], target: Path) -> None:
    """Write `target` from .pyc files by their paths inside the bundle (`cni/core/skel.pyc`).

    The file is: the length of the index (8 bytes, little endian); the index, a marshalled dict of
    module name -> (offset, length, is it a package); the code of all modules.
    """
    index: dict[str, tuple[int, int, bool]] = {}
    code = bytearray()
    for inside, file in sorted(compiled.items()):
        parts = inside.removesuffix(".pyc").split("/")
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        body = file.read_bytes()[_HEADER:]
        index[name] = (len(code), len(body), is_package)
        code += body
    head = marshal.dumps(index)
    target.write_bytes(len(head).to_bytes(8, "little") + head + code)
