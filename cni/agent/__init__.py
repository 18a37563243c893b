"""The warm agent: a resident process that has everything imported and forks a child for each call.

An executable that finds it hands its call over (client.py); the child checks that it is where the
executable is, takes on its environment, descriptors and limits (adopted.py), and runs the very code
that would have run cold. The parent never reads what a caller sends: it accepts, forks, counts
(server.py, spare.py).

    executable                        child
    connects                       ->
                                   <- READY        or it ends: then the call runs cold
    call, descriptors 0 1 2 and cwd ->             from here on it never runs cold
    number of a signal, any time   ->              EOF: the executable was killed
                                   <- PRINTING     once, before the answer goes to descriptor 1
                                   <- exit status

So no call runs twice: a child does nothing without the whole call, and who has sent it does nothing
but wait. Descriptors go last, so that none is kept open by an agent that has stopped.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

READY, PRINTING = b"R", b"P"

#: seconds that an executable waits for READY, of a busy agent or a stopped one
PATIENCE = 0.3


def lock_path(plugin: str, environ: Mapping[str, str]) -> str:
    """The lock of calls of the plugin about one interface; empty: there is none to name it by."""
    container, ifname = environ.get("CNI_CONTAINERID", ""), environ.get("CNI_IFNAME", "")
    name = f"{plugin}+{container}+{ifname}.lock"
    if not container or len(os.fsencode(name)) > 250 or not name.isprintable() or "/" in name:
        return ""
    return f"{os.path.dirname(socket_path(environ.get('PLAIT_RUN_DIR', '')))}/{name}"


def keeper_path(path: str) -> str:
    """Where connections to API servers are kept, beside the agent's socket."""
    return f"{path.removesuffix('/socket')}/connections"


def socket_path(run_dir: str) -> str:
    """Where the agent listens; `run_dir` is PLAIT_RUN_DIR."""
    return f"{run_dir or '/run/plait'}/agent/socket"
