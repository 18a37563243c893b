"""Nodes that share an etcd of the tests, and processes on them."""

from __future__ import annotations

import itertools
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from ipam.stores.etcd import EtcdStore
from ipam.stores.etcd_gateway import EtcdSettings, Gateway, Limits
from ipam.stores.etcd_keys import BLOCK
from ipam.stores.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.ipam.etcd_server import EtcdServer

SHORT = Limits(connect=0.3, call=0.4, total=1.5)
PATIENT = Limits(connect=5, call=10, total=60)
_prefixes = itertools.count()


class Cluster:
    """Nodes that share what is below a prefix."""

    def __init__(self, server: EtcdServer, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self.prefix = f"/test-{next(_prefixes)}/"

    def store(
        self, node: str = "node-1", *, limits: Limits = PATIENT, url: str = "", **keys: str
    ) -> EtcdStore:
        """As the next process of the node opens it; `keys` are of EtcdSettings."""
        hosts = tuple((url or self._server.url).split(","))
        settings = EtcdSettings(hosts, prefix=self.prefix, node=node, **keys)
        return EtcdStore(settings, str(self._directory / node), limits)

    def remains(self) -> list[str]:
        """What etcd has below the prefix, but for what always stays."""
        found = self._server.keys(self.prefix)
        for mark in (each for each in found if each.startswith("full/")):
            block, version = int(mark[-8:], 16), mark.split("/")[2]
            filled = {f"ip//{version}/{block * BLOCK + i:08x}" for i in range(BLOCK)}
            assert filled <= set(found), mark
        return [each for each in found if each != "format" and not each.startswith("fence/")]

    def intents(self, node: str = "node-1") -> list[str]:
        """The states of the node's intents."""
        return [each.state for each in self.store(node)._journal.every()]


def child(body: Callable[[Callable[[object], None]], None]) -> tuple[int, int]:
    """A process that runs `body` with a function to report lines; its id, and where to read."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_fd)
        return pid, read_fd

    def report(line: object) -> None:
        os.write(write_fd, json.dumps(line).encode() + b"\n")

    status = 1
    try:
        random.seed(os.getpid())
        body(report)
        status = 0
    finally:
        os._exit(status)


def reports(process: tuple[int, int]) -> tuple[int, list[Any]]:
    """How the process ended, and the whole lines that it reported."""
    with os.fdopen(process[1], "rb") as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines(keepends=True)]
    return os.waitstatus_to_exitcode(os.waitpid(process[0], 0)[1]), lines


def run_until(step: int, body: Callable[[], object]) -> int:
    """Run `body` in a process that ends before its request, or change of the journal, `step` / 2;
    when that is odd, after it. Its exit status: 0 when there are no so many steps.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        numbers = itertools.count()

        def dying(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **keys: Any) -> Any:
                number = next(numbers)
                if 2 * number == step:
                    os._exit(9)
                result = function(*args, **keys)
                if 2 * number + 1 == step:
                    os._exit(9)
                return result

            return call

        Gateway._exchange = dying(Gateway._exchange)  # type: ignore[method-assign]
        for name in ("begin", "finish", "forget"):
            setattr(Entry, name, dying(getattr(Entry, name)))
        body()
        status = 0
    finally:
        os._exit(status)


def code_of(call: Callable[[], object]) -> int:
    with pytest.raises(CniError) as caught:
        call()
    return caught.value.code
