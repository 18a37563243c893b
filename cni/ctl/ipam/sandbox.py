"""Whether the network namespace of a lease is still there: it is what uses the address."""

from __future__ import annotations

import errno
import os

THERE, GONE, UNKNOWN = "there", "gone", "unknown"


def state(path: str) -> str:
    """Gone only if it would be seen: in a container the node's namespaces may not be mounted."""
    if not path.startswith("/"):
        return UNKNOWN
    try:
        os.lstat(path)
        return THERE
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) not in (errno.ENOENT, errno.ENOTDIR, errno.ESRCH):
            return UNKNOWN  # we may not look
    if path.startswith("/proc/"):
        return GONE if _sees_all_processes() else UNKNOWN
    return GONE if os.path.isdir(os.path.dirname(path)) else UNKNOWN


def _sees_all_processes() -> bool:
    """Process 2 is the kernel's, but in a process namespace of a container."""
    try:
        with open("/proc/2/comm") as file:
            return file.read().strip() == "kthreadd"
    except OSError:
        return False
