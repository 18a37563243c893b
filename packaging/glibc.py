"""The oldest glibc that a folder of executables and libraries runs on.

    glibc.py FOLDER [FLOOR]   print what it needs; fail if that is newer than FLOOR says
    glibc.py --lower FOLDER   make Debian 12's libraries need no more than glibc 2.34

A library names, per library that it uses, the versions of the symbols it was linked with, and the
loader refuses to load it where one of these versions is unknown. Debian's libpython and libexpat
were linked with glibc 2.36; all but two of the symbols that they use are older. `--lower` turns
these two into ones that every glibc has, as RENAMED says why that is right. Reads ELF with 64 bits,
little endian.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: symbol, its version -> what to use instead, and since when glibc has it (empty: always)
RENAMED = {
    # 2.35 made it faster; arguments and result are the same
    ("hypot", "GLIBC_2.35"): ("hypot", ""),
    # Both fill a buffer with random bytes. getentropy takes no more than 256 at a time; expat asks
    # for 8 and looks at no return value. (No plugin reads XML: libpython is linked with expat.)
    ("arc4random_buf", "GLIBC_2.36"): ("getentropy", "GLIBC_2.25"),
}

_DYNSYM, _VERNEED, _VERSYM = 11, 0x6FFFFFFE, 0x6FFFFFFF  # section types
_HIDDEN = 0x8000
Version = tuple[int, ...]


class Need(NamedTuple):
    """A version of a library that a file needs, by its number in the file; `entry` is the offset
    of its record.
    """

    library: str
    version: str
    number: int
    entry: int


class Symbol(NamedTuple):
    """A dynamic symbol and the number of its version; `name_at` is the offset of its name."""

    name: str
    name_at: int
    number: int


class Elf:
    """The parts of an ELF file that say which versions it needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        start, size, count = (
            struct.unpack_from("<Q", self.data, 0x28)[0],
            *struct.unpack_from("<HH", self.data, 0x3A),
        )
        #: type, offset, size, index of the linked section
        self._sections = [
            struct.unpack_from("<4xI16xQQI", self.data, start + size * each)
            for each in range(count)
        ]

    def _section(self, kind: int) -> tuple[int, int, int]:
        """Offset and size of a section, offset of its strings; zeros when there is none."""
        for each, offset, size, link in self._sections:
            if each == kind:
                return offset, size, self._sections[link][1]
        return 0, 0, 0

    def string(self, at: int) -> str:
        return self.data[at : self.data.index(0, at)].decode()

    def needs(self) -> Iterator[Need]:
        at, size, strings = self._section(_VERNEED)
        while size:
            count, library, first, following = struct.unpack_from("<2xHIII", self.data, at)
            entry = at + first
            for _ in range(count):
                number, name, further = struct.unpack_from("<6xHII", self.data, entry)
                yield Need(
                    self.string(strings + library), self.string(strings + name), number, entry
                )
                entry += further
            if not following:
                return
            at += following

    def symbols(self) -> list[Symbol]:
        at, size, strings = self._section(_DYNSYM)
        versions, _, _ = self._section(_VERSYM)
        found = []
        for each in range(size // 24 if versions else 0):
            name_at = strings + struct.unpack_from("<I", self.data, at + 24 * each)[0]
            (number,) = struct.unpack_from("<H", self.data, versions + 2 * each)
            found.append(Symbol(self.string(name_at), name_at, number & ~_HIDDEN))
        return found

    def require(self, need: Need, other: Need | str) -> None:
        """Let the record of one version name another: that of another record, or a new name."""
        strings = self._section(_VERNEED)[2]
        if isinstance(other, str):
            if len(other) != len(need.version):
                raise ValueError(f"{other} does not fit into the place of {need.version}")
            (name,) = struct.unpack_from("<I", self.data, need.entry + 8)
            self.overwrite(strings + name, other)
            digest = _digest(other)
        else:
            digest, name = struct.unpack_from("<I4xI", self.data, other.entry)
        struct.pack_into("<I", self.data, need.entry, digest)
        struct.pack_into("<I", self.data, need.entry + 8, name)

    def overwrite(self, at: int, text: str) -> None:
        """Put a string in the place of one that is not shorter."""
        room = self.data.index(0, at) - at
        self.data[at : at + room] = text.encode().ljust(room, b"\0")


def _digest(name: str) -> int:
    """The hash of a version's name (System V ABI, "Hash Table")."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def executables(folder: Path) -> list[Elf]:
    """All ELF files in a folder, each once."""
    return [
        Elf(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
    ]


def parse(version: str) -> Version:
    return tuple(map(int, version.removeprefix("GLIBC_").split(".")))


def newest(elf: Elf) -> tuple[Version, list[str]]:
    """The newest version of glibc that a file needs, and for which symbols."""
    needs = [need for need in elf.needs() if need.version.startswith("GLIBC_2.")]
    if not needs:
        return (0,), []
    top = max(parse(need.version) for need in needs)
    numbers = {need.number for need in needs if parse(need.version) == top}
    return top, sorted({each.name for each in elf.symbols() if each.number in numbers})


def lower(elf: Elf) -> bool:
    """Rename what RENAMED lists; returns whether the file needed it."""
    needs, symbols, changed = list(elf.needs()), elf.symbols(), False
    for (name, version), (new_name, new_version) in RENAMED.items():
        for need in needs:
            users = [each for each in symbols if each.number == need.number]
            if need.version != version or [each.name for each in users] != [name]:
                continue
            same_library = [each for each in needs if each.library == need.library]
            oldest = min(same_library, key=lambda each: parse(each.version))
            elf.require(need, new_version or oldest)
            if new_name != name:
                elf.overwrite(users[0].name_at, new_name)
            changed = True
    return changed


def main(arguments: list[str]) -> int:
    if arguments[0] == "--lower":
        for elf in executables(Path(arguments[1])):
            if lower(elf):
                elf.path.write_bytes(elf.data)
        return 0
    folder = Path(arguments[0])
    found = {elf.path.relative_to(folder): newest(elf) for elf in executables(folder)}
    needed = max(version for version, _ in found.values())
    print(f"needs glibc {'.'.join(map(str, needed))} or newer")
    if len(arguments) == 1:
        return 0
    lines = Path(arguments[1]).read_text().splitlines()
    floor = parse(next(line for line in lines if line and not line.startswith("#")))
    for path, (version, symbols) in found.items():
        if version > floor:
            print(f"{path}: {'.'.join(map(str, version))} for {' '.join(symbols)}", file=sys.stderr)
    if needed > floor:
        print(f"that is newer than {arguments[1]} allows", file=sys.stderr)
    return int(needed > floor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
