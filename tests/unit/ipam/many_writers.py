"""Many writers at one store, killed at random: what test_many_writers has of any store.

A writer that gets an address puts up a link of the address's name, which nobody else may have put
up, and takes it away before it gives the address back. What killed writers have left is collected
at the end, as a runtime does that knows which containers live: those that have a link.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
import traceback
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code
from ipam.ranges import text
from ipam.stores import Ask
from tests.unit.ipam.store_world import NET6, owner, pool

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ipam.stores import Store

    #: the store of a node, for one call, as a process of the node has it
    Open = Callable[[str], AbstractContextManager[Store]]

SEED = os.environ.get("PLAIT_SEED") or str(random.SystemRandom().randrange(10**6))
POOL = pool("10.0.0.0/16")
_MOST = 4  #: addresses or pairs of them that a writer keeps
_COUNT = struct.Struct("=QQ")  #: of one writer: calls begun, calls ended


class Size(NamedTuple):
    """Of a run: how many write, how much in all, how often some of them are killed."""

    writers: int
    writes: int
    kills: int
    nodes: int = 1


class Counts:
    """What the writers have done, in memory that they share; it outlives each of them."""

    def __init__(self, writers: int) -> None:
        self._memory = mmap.mmap(-1, 8 + _COUNT.size * writers)
        self._writers = writers

    def stop(self) -> None:
        self._memory[0] = 1

    @property
    def is_over(self) -> bool:
        return bool(self._memory[0])

    def begin(self, writer: int) -> int:
        """The number of a call."""
        begun, ended = self.of(writer)
        _COUNT.pack_into(self._memory, self._at(writer), begun + 1, ended)
        return begun

    def end(self, writer: int) -> None:
        begun, ended = self.of(writer)
        _COUNT.pack_into(self._memory, self._at(writer), begun, ended + 1)

    def of(self, writer: int) -> tuple[int, int]:
        begun, ended = _COUNT.unpack_from(self._memory, self._at(writer))
        return begun, ended

    def total(self) -> int:
        return sum(self.of(writer)[1] for writer in range(self._writers))

    def _at(self, writer: int) -> int:
        return 8 + _COUNT.size * writer


class Claims:
    """Who has which address by what its writer was told: a directory of links."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()

    def take(self, address: str, container: str) -> None:
        """Raises FileExistsError when somebody has it."""
        os.symlink(container, self._directory / address)

    def give_up(self, address: str, container: str) -> None:
        file = self._directory / address
        assert os.readlink(file) == container
        file.unlink()

    def every(self) -> dict[str, str]:
        """Container by address."""
        found = {}
        for address in os.listdir(self._directory):
            try:
                found[address] = os.readlink(self._directory / address)
            except FileNotFoundError:
                pass  # given up meanwhile, by another writer
        return found


class Writer:
    """One of many, in a process that may end at any moment; the next one goes on with its pods."""

    def __init__(self, number: int, size: Size, claims: Claims, counts: Counts) -> None:
        self._number = number
        self._claims = claims
        self._counts = counts
        self._parent = os.getpid()  # who makes writers forks them
        self.node = f"node{number % size.nodes}"
        # one in three asks for a pair of addresses
        self._asks = [Ask(POOL), Ask(NET6)] if number % 3 == 0 else [Ask(POOL)]

    def run(self, open_store: Open, life: int) -> None:
        """Lease and release until all is over."""
        dice = random.Random(f"{SEED} {self._number} {life}")
        pods = self._adopted()
        begun, ended = self._counts.of(self._number)
        if begun != ended and dice.random() < 0.5:  # else it is for the collection
            with open_store(self.node) as store:
                self._delete(store, self._name(begun - 1), pods)
        while not self._counts.is_over and os.getppid() == self._parent:
            name = self._name(self._counts.begin(self._number))
            with open_store(self.node) as store:
                if pods and (len(pods) == _MOST or dice.random() < 0.45):
                    self._delete(store, dice.choice(sorted(pods)), pods)
                else:
                    self._add(store, name, pods)
            self._counts.end(self._number)

    def _add(self, store: Store, name: str, pods: dict[str, list[str]]) -> None:
        try:
            given = store.lease(owner(name, name), self._asks)
        except CniError as error:  # too many at once: the runtime asks for a DEL
            if error.code != Code.TRY_AGAIN_LATER:
                raise
            self._delete(store, name, pods)
            return
        pods[name] = []
        for ask, address in zip(self._asks, given, strict=True):
            shown = text(ask.range.version, address)
            self._claims.take(shown, name)
            pods[name].append(shown)

    def _delete(self, store: Store, name: str, pods: dict[str, list[str]]) -> None:
        for address in pods.pop(name, ()):
            self._claims.give_up(address, name)
        store.release(owner(name, name).attachment)

    def _adopted(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for address, name in self._claims.every().items():
            if name.startswith(self._name("")):
                found.setdefault(name, []).append(address)
        return found

    def _name(self, call: object) -> str:
        return f"w{self._number}-{call}"


class Outcome(NamedTuple):
    """What was left when all writers had ended, and what a collection made of it."""

    claims: dict[str, str]  #: container by address
    writes: int
    seconds: float


def rush(size: Size, directory: Path, open_store: Open) -> Outcome:
    """All writers until enough is written; a random part of them is killed, again and again."""
    dice = random.Random(SEED)
    counts, claims = Counts(size.writers), Claims(directory / "claims")
    errors = directory / "errors"
    lives = 0

    def start(number: int) -> int:
        nonlocal lives
        lives += 1
        writer = Writer(number, size, claims, counts)
        return forked(lambda: writer.run(open_store, lives), errors)

    began = time.monotonic()
    writers = {number: start(number) for number in range(size.writers)}
    try:
        for moment in sorted(dice.randrange(size.writes) for _ in range(size.kills)):
            _wait(counts, moment, errors)
            # all of them as often as one: whoever is in the middle of a write is among them
            victims = dice.sample(
                sorted(writers), dice.choice((1, size.writers // 4, size.writers))
            )
            for number in victims:
                os.kill(writers[number], signal.SIGKILL)
            for number in victims:
                _, status = os.waitpid(writers.pop(number), 0)
                assert status == signal.SIGKILL, _read(errors)
                writers[number] = start(number)
        _wait(counts, size.writes, errors)
        counts.stop()
        while writers:
            _, status = os.waitpid(writers.popitem()[1], 0)
            assert status == 0, _read(errors)
    finally:
        for pid in writers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return Outcome(claims.every(), counts.total(), time.monotonic() - began)


def collect(size: Size, outcome: Outcome, open_store: Open) -> None:
    """What no living container has is given back, and nothing else; in the end all of it."""
    leased = _leased(open_store)
    assert leased.items() >= outcome.claims.items()
    valid = {(container, "eth0") for container in outcome.claims.values()}
    collected = _keep_only(size, valid, open_store)
    kept = _leased(open_store)
    # of a pair that was not yet all claimed the rest is there too
    assert kept.items() >= outcome.claims.items()
    assert {*kept.values()} == {*outcome.claims.values()}
    assert collected == len(leased) - len(kept)
    assert _keep_only(size, set(), open_store) == len(kept)
    assert _leased(open_store) == {}
    print(
        f"PLAIT_SEED={SEED}: {outcome.writes} writes in {outcome.seconds:.1f} s, "
        f"{len(outcome.claims)} addresses in use, {collected} collected"
    )


def _leased(open_store: Open) -> dict[str, str]:
    with open_store("node0") as store:
        every = store.every()
    found = {text(each.version, each.address): each.attachment.container_id for each in every}
    assert len(found) == len(every)
    return found


def _keep_only(size: Size, valid: set[tuple[str, str]], open_store: Open) -> int:
    total = 0
    for number in range(size.nodes):
        with open_store(f"node{number}") as store:
            total += store.keep_only("net", valid)
    return total


def forked(work: Callable[[], None], errors: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        with errors.open("a") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(status)


def _wait(counts: Counts, moment: int, errors: Path) -> None:
    while counts.total() < moment:
        assert not _read(errors), f"PLAIT_SEED={SEED}\n{_read(errors)}"
        time.sleep(0.002)


def _read(errors: Path) -> str:
    return errors.read_text() if errors.exists() else ""
