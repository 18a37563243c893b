"""pyroute2's message classes without pyroute2's front door.

`import pyroute2` costs 80 ms and brings asyncio and multiprocessing; the message classes need
neither. Two stand-ins keep them out: an unexecuted package that only knows where its submodules
are, and the four settings that the classes read. In the frozen executables nothing else imports
pyroute2; a process that did (a test) keeps the real package.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType


def _stand_in() -> None:
    if "pyroute2" in sys.modules:
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("pyroute2 is not installed")
    package = ModuleType("pyroute2")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    config = ModuleType("pyroute2.config")
    vars(config).update(
        AF_BRIDGE=7, data_plugins_pkgs=[], data_plugins_path=[], machine=os.uname().machine
    )
    vars(package)["config"] = config
    sys.modules["pyroute2"] = package
    sys.modules["pyroute2.config"] = config


_stand_in()

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: E402
from pyroute2.netlink.rtnl.ndmsg import ndmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: E402

__all__ = ["ifaddrmsg", "ifinfmsg", "ndmsg", "rtmsg"]
