"""Packs compiled modules into a file that boot.py reads."""

from __future__ import annotations

import marshal
from _imp import is_frozen
from pathlib import Path
from typing import NamedTuple

_HEADER = 16  #: bytes before the code in a .pyc file (PEP 552)
_SLIM = Path(__file__).parent / "slim"


class Module(NamedTuple):
    """A module's code, marshalled."""

    code: bytes
    is_package: bool


def read(compiled: dict[str, Path]) -> dict[str, Module]:
    """The modules of .pyc files, given by their paths inside the bundle (`cni/core/skel.pyc`).

    Without those that the interpreter has ready in memory.
    """
    found = {}
    for inside, file in compiled.items():
        parts = inside.removesuffix(".pyc").split("/")
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if not is_frozen(name):
            found[name] = Module(file.read_bytes()[_HEADER:], is_package)
    return found


def slim(modules: dict[str, Module]) -> dict[str, Module]:
    """The same, those that slim/ has replaced by its own; the whole ones become `NAME.whole`."""
    found = dict(modules)
    for file in sorted(_SLIM.glob("*.py")):
        source = compile(
            file.read_bytes(), f"slim/{file.name}", "exec", dont_inherit=True, optimize=2
        )
        found[f"{file.stem}.whole"] = Module(modules[file.stem].code, is_package=False)
        found[file.stem] = Module(marshal.dumps(source), is_package=True)
    return found


def pack(modules: dict[str, Module], target: Path) -> None:
    """Write them to `target`.

    The file is: the length of the index (8 bytes, little endian); the index, a marshalled dict of
    module name -> (offset, length, is it a package); the code of all modules.
    """
    index: dict[str, tuple[int, int, bool]] = {}
    code = bytearray()
    for name, module in sorted(modules.items()):
        index[name] = (len(code), len(module.code), module.is_package)
        code += module.code
    head = marshal.dumps(index)
    target.write_bytes(len(head).to_bytes(8, "little") + head + code)
