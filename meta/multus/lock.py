"""One call at a time for each container.

The lock is a file in the run directory: it means nothing after a boot, and the state directory
stays as the original knows it. It is removed when the call ends, since a node sees a hundred
thousand containers; the gate makes that safe, because nobody opens or removes a container's lock
without it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from cni.store import files
from cni.store.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def container(run_dir: str, container_id: str, timeout: float = 60) -> Iterator[None]:
    """Hold the container's lock while the body runs.

    Raises CniError 11 when another call holds it for `timeout` seconds.
    """
    gate = os.path.join(run_dir, "multus", "gate")
    path = os.path.join(run_dir, "multus", f"{container_id}.lock")
    deadline = time.monotonic() + timeout
    with ExitStack() as held:
        while not _taken(held, gate, path):
            if time.monotonic() > deadline:
                raise CniError(
                    Code.TRY_AGAIN_LATER,
                    f'another call works on container "{container_id}"',
                    f"waited {timeout:g} s",
                )
            time.sleep(0.01)
        try:
            yield
        finally:
            with locked(gate):
                files.remove(path)


def _taken(held: ExitStack, gate: str, path: str) -> bool:
    with locked(gate):
        try:
            held.enter_context(locked(path, timeout=0))
        except CniError as error:
            if error.code != Code.TRY_AGAIN_LATER:
                raise
            return False
    return True
