"""readinessindicatorfile: a file that the default network's agent makes when it is ready."""

from __future__ import annotations

import os
import time

from cni.core import signals
from cni.core.errors import CniError, Code

INTERVAL, TIMEOUT = 1.0, 45.0  #: seconds, as the original


def wait(path: str) -> None:
    """Wait for the file; raises CniError 11 when it does not come."""
    deadline = time.monotonic() + TIMEOUT
    while path and not os.path.exists(path):
        if time.monotonic() >= deadline:
            raise _missing(Code.TRY_AGAIN_LATER, path, f"waited {TIMEOUT:g} s")
        signals.sleep(INTERVAL)


def check(path: str) -> None:
    """Look once; raises CniError 50 when the file is not there."""
    if path and not os.path.exists(path):
        raise _missing(Code.NOT_AVAILABLE, path, "")


def _missing(code: int, path: str, details: str) -> CniError:
    return CniError(
        code,
        "have you checked that your default network is ready? still waiting for"
        f" readinessindicatorfile @ {path}",
        details,
    )
