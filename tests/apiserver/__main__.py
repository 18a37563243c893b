"""The server in a process of its own, until SIGTERM or SIGINT:

    python -m tests.apiserver --port 0 --directory D

Prints its address and the path of a kubeconfig in D, each on a line.  GET /debug/requests tells
without credentials what was asked; DELETE forgets it.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from .server import ApiServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.apiserver")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (0: any that is free)")
    parser.add_argument("--directory", type=Path, required=True)
    options = parser.parse_args()
    ends = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ApiServer(options.directory, port=options.port) as api:
        print(api.url)
        print(api.kubeconfig(options.directory / "kubeconfig"), flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
