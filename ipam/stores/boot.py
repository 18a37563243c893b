"""What tells this boot of the node from others."""

from __future__ import annotations


def boot_id() -> str:
    """The kernel's name of this boot; empty when it does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
