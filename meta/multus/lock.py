"""One call at a time for each container.

The lock is a file in the run directory: it means nothing after a boot, and the state directory
stays as the original knows it. It goes with the call, since a node sees a hundred thousand
containers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.store.lock import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def container(run_dir: str, container_id: str, timeout: float = 60) -> AbstractContextManager[None]:
    """Holds the container's lock; entering raises CniError 11 after `timeout` seconds."""
    path = os.path.join(run_dir, "multus", f"{container_id}.lock")
    return locked(path, timeout, what=f'container "{container_id}"', remove=True)
