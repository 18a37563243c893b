"""The executables: packaging/install, which is a part of every release, does all the work."""

from __future__ import annotations

import os
import re
import sys

from cni.core import log, spawn
from cni.core.errors import CniError, Code, invalid

#: options of packaging/install
REFUSE_OTHERS, KEEP_OTHERS, REPLACE_OTHERS = "", "--keep-others", "--force"

_TIMEOUT = 300.0  #: seconds; a slow disk takes some for 25 MB


def own_source() -> str:
    """The directory of plugins that this executable is a part of; empty when it is not frozen.

    Of an installed release it is the folder with its code.
    """
    if not getattr(sys, "frozen", False):
        return ""
    folder = os.path.realpath(getattr(sys, "_MEIPASS", ""))
    return os.path.dirname(folder) if os.path.basename(folder) == ".plait" else folder


def is_installed(source: str, bin_dir: str, *, others: str) -> bool:
    """Whether every name there leads to the release in `source`, or to itself; with KEEP_OTHERS, or
    is another's.
    """
    if _is_part_of(source, bin_dir):
        return True
    try:
        with open(os.path.join(source, ".plait/release")) as file:
            release = re.escape(file.read().strip())
        target = os.readlink(os.path.join(bin_dir, "plait"))
        return (
            re.fullmatch(rf"\.plait-{release}(\.\d+)?/plait", target) is not None
            and os.path.isfile(os.path.join(bin_dir, "plait"))
            and all(_is_in_place(os.path.join(bin_dir, each), others) for each in _names(source))
        )
    except OSError:
        return False


def identity(bin_dir: str) -> tuple[int, ...]:
    """What changes with the content of the one executable; empty when there is none.

    Other installers copy with `cp -f`, which writes through a link: into ours, of all names.
    """
    try:
        found = os.stat(os.path.join(bin_dir, "plait"))
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def install(source: str, bin_dir: str, *, others: str) -> None:
    """Put the release in `source` into `bin_dir`, or mend it.

    `others` is what becomes of names that something else has: REFUSE_OTHERS, KEEP_OTHERS,
    REPLACE_OTHERS.

    Raises CniError with the reason.
    """
    if _is_part_of(source, bin_dir):
        return  # started from there: it was installed by hand
    script = os.path.join(source, ".plait/install")
    if not os.path.isfile(script):
        raise invalid(
            f"no executables to install in {source or 'this checkout'}",
            "--source takes a directory that make build made",
        )
    _run(script, "--source", source, "--bindir", bin_dir, *others.split())


def uninstall(source: str, bin_dir: str) -> None:
    """Take away what `install` made; raises CniError."""
    scripts = [os.path.join(source, each) for each in (".plait/install", "install")]
    script = next((each for each in scripts if os.path.isfile(each)), "")
    if not script:
        raise invalid(
            f"cannot remove the executables in {bin_dir}: no installer in "
            f"{source or 'this checkout'}",
            "--source takes a directory that make build made",
        )
    _run(script, "--uninstall", "--bindir", bin_dir)


def _is_in_place(path: str, others: str) -> bool:
    if others == KEEP_OTHERS and os.path.exists(path) and not os.path.islink(path):
        return True
    return os.readlink(path) == "plait"


def _is_part_of(source: str, bin_dir: str) -> bool:
    return (
        os.path.basename(source).startswith(".plait-")
        and os.path.isfile(os.path.join(source, "release"))
        and os.path.realpath(bin_dir) == os.path.dirname(source)
    )


def _names(source: str) -> list[str]:
    """The types that a release has: links to the one executable."""
    names = [each for each in os.listdir(source) if os.path.islink(os.path.join(source, each))]
    return [each for each in names if os.readlink(os.path.join(source, each)) == "plait"]


def _run(script: str, *arguments: str) -> None:
    done = spawn.run(["/bin/sh", script, *arguments], os.environ, timeout=_TIMEOUT)
    for line in done.stdout.decode(errors="replace").splitlines():
        log.info(line)
    if done.status:
        said = done.stderr.decode(errors="replace").splitlines()
        raise CniError(
            Code.IO_FAILURE,
            f"the installer of the executables ended with {done.status}",
            "; ".join(each.removeprefix("install: ") for each in said),
        )
