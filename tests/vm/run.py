"""The suite in the guest: started with the first test of all, waited for by its own.

The emulated processor is slow, and a core of its own is all it uses.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TIMEOUT = 2400  #: seconds
TESTS = ["tests/vm/suite", "tests/uml/suite/test_devices.py"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
#: pytest's options, for who wants but a few of them
ARGS = shlex.split(os.environ.get("PLAIT_VM_ARGS", ""))


class Run:
    """One life of the guest."""

    def __init__(self) -> None:
        _compile_outside()
        suite = [*PYTEST, "--durations=15", "--color=no", *TESTS, *ARGS]
        # an emulated processor takes seconds to load what other packages bring for pytest
        command = ["env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", *suite]
        self._output = os.memfd_create("report")
        self._process = subprocess.Popen(
            [HERE / "boot", "--timeout", str(TIMEOUT), *command],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def watch(self) -> tuple[int, str]:
        """Exit status and report; the report is shown as it comes."""
        shown = 0
        while True:
            ended = self._process.poll()
            chunk = os.pread(self._output, 1 << 20, shown)
            shown += len(chunk)
            sys.stdout.write(chunk.decode(errors="replace"))
            sys.stdout.flush()
            if ended is not None and not chunk:
                break
            time.sleep(0 if chunk else 0.2)
        return ended, os.pread(self._output, shown, 0).decode(errors="replace")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._output)


def _compile_outside() -> None:
    """The byte code, which pytest has of its own kind for tests: the guest finds both."""
    sources = ["cni", "ipam", "meta", "tests"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *sources], cwd=REPOSITORY, check=True)
    environ = os.environ | {"PLAIT_VM": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*PYTEST, "--collect-only", *TESTS, *ARGS],
        cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
