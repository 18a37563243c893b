"""Makes a directory of plugins that run from the source tree, for PLAIT_BIN.

python -m tests.conformance.from_source DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from cni.core.registry import PLUGINS

_ROOT = Path(__file__).resolve().parents[2]

_SCRIPT = f"""#!{sys.executable}
import sys

sys.path[0] = {str(_ROOT)!r}
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
