"""What the cluster calls this node."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Mapping


def node_name(environ: Mapping[str, str], configuration_path: str = "") -> str:
    """NODENAME; else the file `nodename` beside whereabouts' flat file; else the host's name.

    As the original looks for it.
    """
    if name := environ.get("NODENAME"):
        return name
    directory = configuration_path
    if directory and not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    try:
        said = files.read(os.path.join(directory, "nodename")) if directory else None
    except OSError:
        said = None
    return (said or b"").decode(errors="replace").strip() or os.uname().nodename
