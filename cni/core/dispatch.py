"""One verb on one plugin, the same for a call from the runtime and for a delegated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import versions
from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from cni.core.registry import Plugin
    from cni.core.types import Request, Result


def dispatch(plugin: Plugin, req: Request) -> Result | None:
    """Run the verb; ADD returns a result, the others nothing.

    Raises CniError 1 when the configuration's version is older than the verb.
    """
    if not versions.allows(req.cni_version, req.command):
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"config version does not allow {req.command}",
            f'config is "{req.cni_version}", {req.command} needs '
            f'"{versions.INTRODUCED[req.command]}" or later',
        )
    match req.command:
        case "ADD":
            return plugin.add(req)
        case "DEL":
            plugin.delete(req)
        case "CHECK":
            plugin.check(req)
        case "GC":
            plugin.gc(req)
        case "STATUS":
            plugin.status(req)
        case _:
            raise CniError(Code.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {req.command}")
    return None
