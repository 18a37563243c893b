"""One executable, many names: the name it was started by picks the plugin; `plait` is the tool."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    # `python -m cni TYPE` in a checkout; a frozen executable is started by its type name
    name = os.path.basename(sys.argv[0])
    if name in ("__main__.py", "plait"):
        name = sys.argv[1] if len(sys.argv) > 1 else ""
        # `plait trace` starts a plugin, whose variables are there
        if ("CNI_COMMAND" not in os.environ and not _is_plugin(name)) or name == "trace":
            _end(_tool())
    # to say what versions there are takes no longer than to hand that over
    if os.environ.get("CNI_COMMAND", "VERSION") != "VERSION" and getattr(sys, "frozen", False):
        from cni.agent import client

        status = client.call(name, os.environ)
        if status is not None:
            _end(status)
    gc.disable()  # the process is gone before a collection would pay
    from cni.core import skel

    _end(skel.main(name, os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer))


def _is_plugin(name: str) -> bool:
    from cni.core import registry

    return name in registry.PLUGINS


def _tool() -> int:
    if sys.argv[1:2] == ["agent"] and "--help" not in sys.argv:
        from cni.agent import server  # it stays, and is half as big without the tool's modules

        return server.main(sys.argv[2:])
    from cni.ctl import app  # 150 ms of modules that no plugin needs

    return app.main(sys.argv[1:])


def _end(status: int) -> None:
    sys.stdout = None  # already flushed; a reader that is gone must not print a traceback at exit
    os._exit(status)


if __name__ == "__main__":
    main()
