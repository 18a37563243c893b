"""Where and with what the numbers were measured, and how busy it was meanwhile."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.node import GO, OURS

if TYPE_CHECKING:
    from tests.conformance.kernel import Json


def describe() -> Json:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "system": _field("/etc/os-release", r'PRETTY_NAME="(.*)"'),
        "python": platform.python_version(),
        "plait": _release(),
        "go plugins": _package("containernetworking-plugins"),
        "nftables": _package("nftables"),
        "iptables": _package("iptables"),
    }


def pressure() -> float | None:
    """Per cent of the last ten seconds in which some process waited for a processor."""
    found = _field("/proc/pressure/cpu", r"some avg10=([0-9.]+)")
    return float(found) if found else None


def sizes() -> Json:
    """Bytes on disk: all of ours, the originals of the same types, all that Debian ships."""
    types = [each.name for each in OURS.iterdir() if each.is_symlink() or each.is_file()]
    same = [GO / name for name in {*types, "host-local"} if (GO / name).is_file()]
    return {
        "plait": sum(each.lstat().st_size for each in OURS.rglob("*") if not each.is_dir()),
        "plait types": len([name for name in types if name != "plait"]),
        "go, same types and host-local": sum(each.stat().st_size for each in same),
        "go, same types": len(same),
        "go, all": sum(each.stat().st_size for each in GO.iterdir() if each.is_file()),
    }


def _cpu() -> str:
    return _field("/proc/cpuinfo", r"model name\s*: (.*)") or platform.machine()


def _release() -> str:
    file = OURS / ".plait" / "release"
    return file.read_text().strip() if file.exists() else f"not frozen, {sys.executable}"


def _field(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return ""
    return found.group(1) if found else ""


def _package(name: str) -> str:
    query = ["dpkg-query", "--show", "--showformat=${Version}", name]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "?"
    return done.stdout or "?"
