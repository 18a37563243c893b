"""etcd's token for a user, kept for the node's next calls: to make one takes 50 to 100 ms.

The server forgets one that nobody uses for some minutes, and all when a user or a role changes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.core import log
from cni.store import files

if TYPE_CHECKING:
    from ipam.stores.etcd_gateway import EtcdSettings


def read(settings: EtcdSettings) -> str:
    """One that may be valid; empty when there is none."""
    try:
        found = (files.read(_path(settings)) or b"").decode(errors="replace")
    except OSError as error:
        log.debug("etcd's token cannot be read", reason=error)
        return ""
    return found if is_token(found) else ""


def keep(settings: EtcdSettings, token: str) -> None:
    """In place of an earlier one. A file that cannot be written costs time and nothing else."""
    try:
        files.write(_path(settings), token.encode(), durable=False)
    except OSError as error:
        log.debug("etcd's token cannot be kept", reason=error)


def is_token(text: str) -> bool:
    """Whether it can be sent in a header."""
    return bool(text) and all("!" <= each <= "~" for each in text)


def _path(settings: EtcdSettings) -> str:
    import hashlib  # 2 ms, for those only who have a user

    who = "\0".join((*settings.hosts, settings.user)).encode(errors="surrogateescape")
    return os.path.join(settings.token_dir, f"etcd-{hashlib.sha256(who).hexdigest()[:32]}.token")
