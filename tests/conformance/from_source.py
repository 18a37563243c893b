"""Makes a directory of plugins that run from the source tree, for PLAIT_BIN.

python -m tests.conformance.from_source DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from cni.core.registry import PLUGINS

_ROOT = Path(__file__).resolve().parents[2]

# what packaging/boot.py does for an executable, a script has to do itself: /dev/null in place of a
# standard stream that is closed
_SCRIPT = f"""#!{sys.executable} -I
import os
import sys

for fd, (name, mode, flags) in enumerate(
    (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
):
    if getattr(sys, name) is None:
        null = os.open("/dev/null", flags)
        if null != fd:
            os.dup2(null, fd)
            os.close(null)
        setattr(sys, name, open(fd, mode, closefd=False))

sys.path.insert(0, {str(_ROOT)!r})
from cni.__main__ import main

main()
"""


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in (*PLUGINS, "plait"):
        (directory / name).write_text(_SCRIPT)
        (directory / name).chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
