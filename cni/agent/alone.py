"""One call after the other about the same interface.

A runtime that has killed an executable goes on at once, while the agent's child is still undoing.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from cni.core.errors import CniError
from cni.store.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNDOING = 30.0  #: seconds; what does not end is not waited for for ever


@contextmanager
def alone(path: str) -> Iterator[None]:
    """While the body runs no other call has the lock; an empty path is no lock."""
    with ExitStack() as stack:
        if path:
            with suppress(CniError, OSError):
                stack.enter_context(locked(path, _UNDOING, remove=True))
        yield
