"""One call at a time for each container.

The lock is a file in the run directory: it means nothing after a boot, and the state directory
stays as the original knows it. It goes with the call, since a node sees a hundred thousand
containers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.store.lock import locked
from meta.multus import disk

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def directory(run_dir: str) -> str:
    """Where what means nothing after a boot is: locks, and how far each ADD has come."""
    return os.path.join(run_dir, "multus")


def container(run_dir: str, container_id: str, timeout: float = 60) -> AbstractContextManager[None]:
    """Holds the container's lock; entering raises CniError 11 after `timeout` seconds."""
    path = os.path.join(directory(run_dir), f"{disk.short(container_id)}.lock")
    return locked(path, timeout, what=f'container "{container_id}"', remove=True)
