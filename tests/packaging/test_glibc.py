"""What the plugins need of the host's glibc: no more than recorded, and measured rightly."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import REPOSITORY

FLOOR = REPOSITORY / "packaging/glibc-floor"


def glibc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "packaging/glibc.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def by_objdump(folder: Path) -> set[tuple[int, ...]]:
    """The versions of glibc that binutils finds in all files of a folder."""
    files = [
        file for file in folder.rglob("*") if file.is_file() and file.read_bytes()[:4] == b"\x7fELF"
    ]
    listing = subprocess.run(
        ["objdump", "-p", *files], capture_output=True, text=True, check=True
    ).stdout
    return {tuple(map(int, v.split("."))) for v in re.findall(r" GLIBC_([0-9.]+)\n", listing)}


def test_the_plugins_need_no_newer_glibc_than_recorded(plugins: Path) -> None:
    done = glibc(plugins / ".plait", FLOOR)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_finds_what_binutils_finds(plugins: Path) -> None:
    newest = ".".join(map(str, max(by_objdump(plugins / ".plait"))))
    assert glibc(plugins / ".plait").stdout == f"needs glibc {newest} or newer\n"


def test_a_newer_need_is_refused_by_file_and_symbol(plugins: Path, tmp_path: Path) -> None:
    floor = tmp_path / "floor"
    floor.write_text("# old\n2.30\n")
    done = glibc(plugins / ".plait", floor)
    assert done.returncode == 1
    assert re.search(r"^libpython3.11.so.1.0: 2.34 for .*pthread_create", done.stderr, re.MULTILINE)


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """Debian's libraries as they are installed."""
    for library in Path("/usr/lib").glob("*-linux-gnu/libpython3.11.so.1.0"):
        shutil.copy(library, tmp_path)
        shutil.copy(
            library.parent.parent.parent / f"lib/{library.parent.name}/libexpat.so.1", tmp_path
        )
    return tmp_path


def test_lowering_leaves_working_libraries(libraries: Path) -> None:
    assert max(by_objdump(libraries)) > (2, 34)
    assert glibc("--lower", libraries).returncode == 0
    assert max(by_objdump(libraries)) == (2, 34)
    for library in libraries.iterdir():
        bound = subprocess.run(["ldd", "-r", library], capture_output=True, text=True, check=True)
        assert not re.search("undefined|not found", bound.stdout + bound.stderr)
    parse = (
        "import ctypes, sys\n"
        "expat = ctypes.CDLL(sys.argv[1])\n"
        "expat.XML_ParserCreate.restype = ctypes.c_void_p\n"
        "parser = ctypes.c_void_p(expat.XML_ParserCreate(None))\n"  # draws random bytes
        "sys.exit(expat.XML_Parse(parser, b'<a b=\"1\"/>', 10, 1) != 1)\n"
    )
    subprocess.run(["/usr/bin/python3", "-c", parse, libraries / "libexpat.so.1"], check=True)


def test_lowering_twice_changes_nothing(libraries: Path) -> None:
    glibc("--lower", libraries)
    before = {file: file.read_bytes() for file in libraries.iterdir()}
    glibc("--lower", libraries)
    assert {file: file.read_bytes() for file in libraries.iterdir()} == before
