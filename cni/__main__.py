"""One executable, many names: the name it was started by picks the plugin."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    gc.disable()  # the process is gone before a collection would pay
    # `python -m cni TYPE` in a checkout; a frozen executable is started by its type name
    name = os.path.basename(sys.argv[0])
    if name in ("__main__.py", "plait") and len(sys.argv) > 1:
        name = sys.argv[1]
    from cni.core import skel

    status = skel.main(name, os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
    sys.stdout = None  # already flushed; a reader that is gone must not print a traceback at exit
    os._exit(status)


if __name__ == "__main__":
    main()
