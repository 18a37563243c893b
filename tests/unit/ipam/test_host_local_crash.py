"""host-local when a call dies between any two steps, and many calls at once.

PLAIT_SEED repeats the moments of an earlier run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.host_local import Network, conf, reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NET = conf("10.0.0.0/28", "fd00::/64")
SEED = os.environ.get("PLAIT_SEED") or str(random.SystemRandom().randrange(10**6))

#: all by which a call changes, or makes durable, what is on the disk
STEPS = ("open", "mkdir", "write", "pwrite", "fsync", "ftruncate", "link", "unlink", "utime")


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


def dies_before(step: int, call: Callable[[], object]) -> bool:
    """Whether the call, in a process of its own, came to that many steps, and died there."""
    pid = os.fork()
    if pid == 0:
        left = [step]
        for name in STEPS:
            setattr(os, name, _counting(getattr(os, name), left))
        try:
            call()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 9


def _counting(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def call(*args: Any, **keys: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
        return real(*args, **keys)

    return call


def assert_sound(net: Network) -> None:
    """Whatever has happened to "victim": nobody else suffers, and a runtime can clean up."""
    others = {ip for ip, owner in net.leases().items() if owner.startswith("other")}
    ips = net.add(NET, "victim")
    assert net.add(NET, "victim") == ips
    given = net.add(NET, "next")
    assert not set(given) & set(ips)
    mine = {ip for ip, owner in net.leases().items() if owner == "victim\r\neth0"}
    assert mine == {ip.partition("/")[0] for ip in ips}
    net.delete(NET, "victim")
    net.delete(NET, "next")
    assert set(net.leases()) == others
    hidden = [each.name for each in net.files.iterdir() if each.name.startswith(".")]
    assert not hidden


@pytest.mark.parametrize("there", [False, True], ids=["first call", "later call"])
@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed", "named"])
def test_an_add_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.setattr("ipam.host_local.lease_files.LeaseFiles._unnamed", lambda self: None)
    for step in range(1, 1000):
        net = Network(tmp_path / str(step))
        if there:
            net.add(NET, "other")
        died = dies_before(step, lambda net=net: net.call("ADD", NET, "victim"))  # type: ignore[misc]
        assert_sound(net)
        if not died:
            assert step > 20
            return
    raise AssertionError("the call never ends")


@pytest.mark.parametrize("stale", [False, True], ids=["index current", "index stale"])
def test_a_delete_that_dies(tmp_path: Path, stale: bool) -> None:
    for step in range(1, 1000):
        net = Network(tmp_path / str(step))
        net.add(NET, "other")
        net.add(NET, "victim")
        if stale:
            net.write("10.0.0.9", "other\r\nnet1")
        died = dies_before(step, lambda net=net: net.call("DEL", NET, "victim"))  # type: ignore[misc]
        if not died:
            assert "victim\r\neth0" not in net.leases().values()
        assert_sound(net)
        if not died:
            assert step > 8
            return
    raise AssertionError("the call never ends")


def test_killed_at_random(net: Network) -> None:
    rng = random.Random(SEED)
    net.add(NET, "other")
    started = time.monotonic()
    reply(net.start("ADD", NET, "victim")).ok()
    took = time.monotonic() - started
    for _ in range(20):
        process = net.start(rng.choice(["ADD", "DEL"]), NET, "victim")
        time.sleep(rng.random() * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    print(f"PLAIT_SEED={SEED}")
    assert_sound(net)


def test_many_at_once(net: Network) -> None:
    running = [net.start("ADD", conf("10.0.0.0/24"), f"c{i}") for i in range(30)]
    given = [ip for each in running for ip in reply(each).ips()]
    assert sorted(given) == sorted(f"10.0.0.{i}/24" for i in range(2, 32))
    for each in [net.start("DEL", conf("10.0.0.0/24"), f"c{i}") for i in range(30)]:
        reply(each).ok()
    assert not net.leases()


def test_the_same_one_at_once(net: Network) -> None:
    """A runtime that has lost patience with the first, and asks again."""
    running = [net.start("ADD", NET, "c1") for _ in range(6)]
    assert len({tuple(reply(each).ips()) for each in running}) == 1
    assert len(net.leases()) == 2


def test_interrupted_it_takes_back(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM between two range sets."""
    real = os.link

    def link(*args: Any, **keys: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(*args, **keys)

    handlers = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link)
            assert "SIGTERM" in net.call("ADD", NET).error(11)
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    assert not net.leases()
    net.add(NET)
