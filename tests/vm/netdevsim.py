"""netdevsim, a card of software that takes what igb refuses: Debian's kernels come without it.

It is built from Debian's source of the kernel against Debian's headers. Compiler and make are the
host's, or unpacked for the purpose.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.vm.archive import LIBRARIES, Archive, run

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "drivers/net/netdevsim"


def build(archive: Archive, image: str, target: Path) -> None:
    """netdevsim.ko for the kernel package `image`, into the directory `target`."""
    version = image.removeprefix("linux-image-")
    exactly = f"={archive.version(image)}"
    headers = f"linux-headers-{version}"
    theirs = [each for each in archive.depends(headers) if each.startswith(("linux-h", "linux-k"))]
    source = f"linux-source-{'.'.join(version.split('.')[:2])}"
    archive.download_missing("gcc-12", "make")
    archive.download(*(name + exactly for name in (headers, *theirs, source)))
    with tempfile.TemporaryDirectory(prefix="plait-vm-") as name:
        work = Path(name)
        _extract(archive.take(source), work)
        root = work / "root"
        archive.unpack(root)
        tree = root / "usr/src" / headers
        # they name each other by where they would be installed
        for file in (tree / "Makefile", tree / ".kernelvariables"):
            if file.exists():
                file.write_text(file.read_text().replace(" /usr/", f" {root}/usr/"))
        module = work / SOURCE / "netdevsim.ko"
        run(
            "make", f"-j{os.cpu_count()}", "-C", tree, f"M={module.parent}", "CONFIG_NETDEVSIM=m",
            "CONFIG_DEBUG_INFO_BTF_MODULES=",  # would need pahole, and the kernel with symbols
            "modules",
            env={
                **os.environ,
                "PATH": f"{root}/usr/bin:{os.environ['PATH']}",
                "LD_LIBRARY_PATH": str(root / LIBRARIES),
            },
        )  # fmt: skip
        run("strip", "--strip-debug", module)
        target.mkdir(exist_ok=True)
        (target / module.name).write_bytes(module.read_bytes())


def _extract(deb: Path, into: Path) -> None:
    """The driver's directory alone, out of an archive in the package: all of it is 1.5 GB."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as package:
            for member in package:
                if member.name.endswith(".tar.xz"):
                    with tarfile.open(fileobj=package.extractfile(member), mode="r|xz") as sources:
                        for each in _driver(sources):
                            sources.extract(each, into)
                    break
        unpacking.kill()


def _driver(sources: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Its files, by their path below the kernel's directory; it is one run of the archive."""
    found = False
    for each in sources:
        each.name = each.name.partition("/")[2]
        if each.name == SOURCE or each.name.startswith(f"{SOURCE}/"):
            found = True
            yield each
        elif found:
            return
