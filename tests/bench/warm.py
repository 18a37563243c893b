"""Calls through the agent of a node, and what they cost it: the executables hardly do anything."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import clock
from tests.conformance import node as conformance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.clock import Sample
    from tests.conformance.node import Node

COLD, WARM = {"PLAIT_AGENT": "off"}, {"PLAIT_AGENT": "only"}

_TICK = 1000 / os.sysconf("SC_CLK_TCK")  #: milliseconds
_SETTLING = 0.08  #: seconds: after 0.03 without a call the next child makes itself ready


def cold(argv: Sequence[str | Path], environ: Mapping[str, str], stdin: bytes = b"") -> Sample:
    """As clock.run, and no agent takes part."""
    return clock.run(argv, {**environ, **COLD}, stdin)


class Warm:
    """The resident process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def run(
        self, argv: Sequence[str | Path], environ: Mapping[str, str], stdin: bytes = b""
    ) -> Sample:
        """As clock.run, through the agent or not at all; what the agent does for it is counted.

        Returns when the agent is at rest: what is measured next is not to pay for this call.
        """
        before = self.cpu()
        sample = clock.run(argv, {**environ, **WARM}, stdin)
        self.rest()
        return sample._replace(cpu=sample.cpu + self.cpu() - before)

    def cpu(self) -> float:
        """Milliseconds of processor, its own and of all children that have ended, in whole ticks:
        of single calls only the mean means anything.
        """
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) * _TICK

    def rest(self) -> None:
        """Wait until it has no children but the one that waits for the next call, and the keeper
        of connections.
        """
        deadline = time.monotonic() + conformance.PATIENCE
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        while len(children.read_text().split()) != 2:
            if time.monotonic() > deadline:
                raise RuntimeError("the agent does not come to rest")
            time.sleep(0.002)
        time.sleep(_SETTLING)


@contextmanager
def agent(node: Node) -> Iterator[Warm]:
    """The node's agent while the body runs; all else there must be run cold."""
    with conformance.agent(node) as found:
        warm = Warm(found.process.pid)
        warm.rest()
        yield warm
