"""What the machine is made of, in the cache: QEMU, a kernel, commands for the guest.

One directory, `root`, holds all packages: QEMU runs from it, and in the guest it lies over the
host's files. Nothing of it is installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from tests.vm import netdevsim
from tests.vm.archive import LIBRARIES, RELEASE, Archive, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plait" / "vm"
ROOT = CACHE / "root"
READY = CACHE / "ready"

KERNEL = "linux-image-6.12-amd64"
#: the igb card with SR-IOV came with QEMU 8, and bookworm has 7.2
QEMU = [
    f"{name}/{RELEASE}-backports"
    for name in ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
]
#: of the guest, besides what the host has: modprobe; to look at a wire
COMMANDS = ["kmod", "tcpdump"]
#: modules that no test can want: half of all, and depmod unpacks each that it finds
UNWANTED = ("sound", "drivers/gpu", "drivers/media", "drivers/net/wireless", "drivers/scsi")
#: changes with what is wanted, so that an older cache is fetched anew
WANTED = " ".join([KERNEL, *QEMU, *COMMANDS, "busybox-static", "netdevsim"])


def fetch() -> None:
    """Downloads, unpacks and builds what is not in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (READY.exists() and READY.read_text() == WANTED):
            _fetch()
            READY.write_text(WANTED)


def _fetch() -> None:
    began = time.monotonic()
    READY.unlink(missing_ok=True)
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    print("vm: downloading QEMU and a kernel, 130 MB; they are not installed", flush=True)
    archive = Archive(CACHE / "apt")
    archive.download_missing(*QEMU, *COMMANDS)
    image = archive.depends(KERNEL)[0]
    archive.download("busybox-static", image)
    archive.unpack(ROOT)
    for name in UNWANTED:
        shutil.rmtree(modules() / "kernel" / name)
    print("vm: building netdevsim, from 170 MB of the kernel's source", flush=True)
    netdevsim.build(archive, image, modules() / "updates")
    depmod = ROOT / "usr/bin/depmod"  # kmod does what its name says
    depmod.symlink_to(tool("kmod"))
    run(depmod, "-b", ROOT, modules().name, env=environment())
    depmod.unlink()
    if "igb options" not in run(qemu(), "-device", "igb,help", env=environment()):
        raise SystemExit("vm: this QEMU has no igb card")
    shutil.rmtree(CACHE / "apt")  # until here, for whoever has to start again
    size = int(run("du", "-sm", ROOT).split()[0])
    print(f"vm: {CACHE} is ready: {size} MB, {time.monotonic() - began:.0f} s", flush=True)


def modules() -> Path:
    """The directory of the kernel's modules; its name is the kernel's version."""
    (found,) = (ROOT / "usr/lib/modules").iterdir()
    return found


def kernel() -> Path:
    return ROOT / f"boot/vmlinuz-{modules().name}"


def qemu() -> str:
    return tool("qemu-system-x86_64")


def firmware() -> list[str]:
    """QEMU's options that say where its firmware is: it would look where it is installed."""
    own = (ROOT / "usr/share/qemu", ROOT / "usr/share/seabios")
    return [word for each in own if each.exists() for word in ("-L", str(each))]


def tool(name: str) -> str:
    """A program of the packages, or where the host had the package installed, the host's."""
    own = [ROOT / "usr/bin" / name, ROOT / "usr/sbin" / name]
    found = next((str(each) for each in own if each.exists()), None) or shutil.which(name)
    if not found:
        raise SystemExit(f"vm: {name} is missing; rm -r {CACHE} and fetch it again")
    return found


def environment() -> dict[str, str]:
    """For programs of the packages: where their libraries are."""
    own = {
        "LD_LIBRARY_PATH": str(ROOT / LIBRARIES),
        "QEMU_MODULE_DIR": str(ROOT / LIBRARIES / "qemu"),
    }
    return {**os.environ, **own}
