"""pyroute2's message classes without pyroute2's front door.

`import pyroute2` costs 80 ms and brings asyncio and multiprocessing; the message classes need
neither. Stand-ins keep them out: an unexecuted package that only knows where its submodules are,
and the four settings that the classes read. In the frozen executables nothing else imports
pyroute2; a process that did (a test) keeps the real package.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _SilentLog:
    """What the classes log is trouble with a message, and that reaches us as an exception."""

    def warning(self, *_: object) -> None:
        pass

    debug = error = warning


@contextmanager
def _stand_ins() -> Iterator[None]:
    """In place while the classes are imported: the empty package, its settings, and no logging
    (6 ms, of which nothing is used).
    """
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("pyroute2 is not installed")
    package, config = ModuleType("pyroute2"), ModuleType("pyroute2.config")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    vars(package)["config"] = config
    vars(config).update(
        AF_BRIDGE=7, data_plugins_pkgs=[], data_plugins_path=[], machine=os.uname().machine
    )
    logging, traceback = ModuleType("logging"), ModuleType("traceback")
    vars(logging)["getLogger"] = lambda _name: _SilentLog()
    vars(traceback)["format_exc"] = str
    stand_ins = {each.__name__: each for each in (package, config, logging, traceback)}
    absent = {name: each for name, each in stand_ins.items() if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in ("logging", "traceback"):
            if name in absent:
                del sys.modules[name]


with nullcontext() if "pyroute2" in sys.modules else _stand_ins():
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

# struct ifla_vf_vlan_info ends in two bytes of padding, without which kernels since 6.9 refuse it
ifinfmsg.vflist.vfinfo.vf_vlist.ivvi.fields += (("pad", "H"),)

__all__ = ["ifaddrmsg", "ifinfmsg", "ndmsg", "rtmsg"]
