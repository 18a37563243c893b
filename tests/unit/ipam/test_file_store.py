"""The file store under stress and in trouble: processes, kills, bad disks, bad files."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError, Code, Interrupted
from cni.core.types import Attachment
from cni.store.lock import locked
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner, file
from ipam.stores.file import FileStore
from tests.unit.ipam import ledger_state
from tests.unit.ipam.harness import whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipam.stores.ledger import Ledger
    from tests.unit.ipam.harness import Host

POOL = read(RangeText("r", "10.0.0.0/16"))
NET = whereabouts("10.0.0.0/16")


def owner(container: object) -> Owner:
    return Owner(Attachment("net", f"c{container}", "eth0"))


def child(body: Callable[[Callable[[object], None]], None]) -> tuple[int, int]:
    """A process that runs `body` with a function to report lines; its id, and where to read."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_fd)
        return pid, read_fd
    status = 1
    try:
        body(lambda line: void(os.write(write_fd, json.dumps(line).encode() + b"\n")))
        status = 0
    finally:
        os._exit(status)


def void(_: object) -> None:
    """A function that returns nothing, of one that does."""


def reports(pid: int, fd: int) -> tuple[int, list[Any]]:
    """How the process ended, and the whole lines that it reported."""
    with os.fdopen(fd, "rb") as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines(keepends=True)]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), lines


class TestProcesses:
    def test_a_burst_gives_no_address_twice(self, host: Host) -> None:
        def body(number: int) -> Callable[[Callable[[object], None]], None]:
            def run(report: Callable[[object], None]) -> None:
                for i in range(50):
                    store = FileStore(str(host.state))
                    report(store.lease(owner(f"{number}-{i}"), [Ask(POOL)])[0])
                    if i % 5 == 4:
                        store.release(owner(f"{number}-{i}").attachment)

            return run

        ended = [reports(*process) for process in [child(body(number)) for number in range(8)]]
        assert [status for status, _ in ended] == [0] * 8
        ledger_state.check(host.database)
        held = ledger_state.leases(host.database)
        assert len(held) == 8 * 40
        assert max(int.from_bytes(address) for *_, address in held) < POOL.first + 8 * 50
        for number, (_, given) in enumerate(ended):
            for i, address in enumerate(given):
                if i % 5 != 4:
                    key = ("", "10.0.0.0/16", int(address).to_bytes(4))
                    assert held[key] == f"c{number}-{i}"

    @pytest.mark.parametrize("wal_limit", [0, 30_000, 512 << 10])
    def test_killed_at_any_moment(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, wal_limit: int
    ) -> None:
        """What was reported is there, what was not is at most the one call that was under way."""
        monkeypatch.setattr(file, "_WAL_LIMIT", wal_limit)
        dice = random.Random(wal_limit)
        expected: dict[str, int] = {}
        for number in range(8):

            def body(report: Callable[[object], None], number: int = number) -> None:
                for i in range(1_000_000):
                    name = f"{number}-{i}"
                    report([name, host.store.lease(owner(name), [Ask(POOL)])[0]])
                    if i % 3 == 2:
                        name = f"{number}-{i - 1}"
                        report([name, None])
                        host.store.release(owner(name).attachment)
                        report([name, 0])

            pid, fd = child(body)
            time.sleep(dice.uniform(0.02, 0.12))
            os.kill(pid, signal.SIGKILL)
            status, lines = reports(pid, fd)
            assert status == -signal.SIGKILL
            in_doubt = set()
            for name, address in lines:
                if address is None:
                    in_doubt.add(name)
                elif address == 0:
                    in_doubt.discard(name)
                    del expected[name]
                else:
                    expected[name] = address
            held = self.held(host)
            for name in in_doubt:
                if name not in held:
                    del expected[name]
            unreported = held.keys() - expected.keys()
            assert len(unreported) <= 1
            expected |= {name: held[name] for name in unreported}
            assert held == expected
            assert len(set(held.values())) == len(held)

    @staticmethod
    def held(host: Host) -> dict[str, int]:
        """Container and address of each lease, of a database that must be whole."""
        try:
            ledger_state.check(host.database)
        except sqlite3.OperationalError as error:  # killed before the tables were there
            assert "no such table" in str(error) or "unable to open" in str(error)
            return {}
        return {
            container.removeprefix("c"): int.from_bytes(address)
            for (_, _, address), container in ledger_state.leases(host.database).items()
        }

    def test_interrupted_in_the_middle(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        host.add(NET, "before")

        def interrupt(*_: object) -> None:
            raise Interrupted("SIGTERM")

        with monkeypatch.context() as patch:
            patch.setattr("ipam.stores.runs.Runs.add", interrupt)
            host.call("ADD", NET, "c1").error(Code.TRY_AGAIN_LATER)
        ledger_state.check(host.database)
        assert host.add(NET, "c2") == ["10.0.0.2/16"]


class TestFiles:
    def test_modes(self, host: Host) -> None:
        before = os.umask(0)
        try:
            host.add(NET)
        finally:
            os.umask(before)
        directory = host.database.parent
        assert directory.stat().st_mode & 0o777 == 0o700
        names = ("leases.db", "leases.db-shm", "leases.db-wal", "leases.lock", "leases.reserve")
        assert sorted(path.name for path in directory.iterdir()) == sorted(names)
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}

    def test_settings_of_the_database(self, host: Host) -> None:
        host.add(NET)
        connection = sqlite3.connect(host.database)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        connection.close()

    def test_the_log_stays_short(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "_WAL_LIMIT", 60_000)
        log = host.database.with_name("leases.db-wal")
        sizes = []
        for i in range(40):
            host.store.lease(owner(i), [Ask(POOL)])
            sizes.append(log.stat().st_size if log.exists() else 0)
        assert 0 < max(sizes) < 60_000
        assert sizes.count(0) >= 2

    def test_a_directory_with_an_odd_name(self, tmp_path: Path) -> None:
        store = FileStore(str(tmp_path / "100%20?mode=x#y"))
        assert store.lease(owner(1), [Ask(POOL)]) == store.lease(owner(1), [Ask(POOL)])
        assert len(store.leases(owner(1).attachment)) == 1

    def test_an_empty_file_is_a_new_database(self, host: Host) -> None:
        host.database.parent.mkdir(parents=True)
        host.database.touch()
        assert host.add(NET) == ["10.0.0.1/16"]

    def test_nothing_outside_the_state_directory(self, host: Host, tmp_path: Path) -> None:
        host.add(NET)
        assert [path.name for path in tmp_path.iterdir()] == ["state"]
        assert [path.name for path in host.state.iterdir()] == ["plait"]


def verbs(host: Host, *, reading: bool = True) -> Iterator[tuple[str, str]]:
    """The error text of each verb that needs the database; CHECK only reads it."""
    yield "ADD", host.call("ADD", NET, "c9").error(Code.IO_FAILURE)
    yield "DEL", host.call("DEL", NET).error(Code.IO_FAILURE)
    if reading:
        prev = {"ips": [{"address": "10.0.0.1/16"}]}
        yield "CHECK", host.call("CHECK", NET, prevResult=prev).error(Code.IO_FAILURE)
    valid: dict[str, Any] = {"cni.dev/valid-attachments": []}
    yield "GC", host.call("GC", NET, cniVersion="1.1.0", **valid).error(Code.IO_FAILURE)
    yield "STATUS", host.call("STATUS", NET, cniVersion="1.1.0").error(Code.NOT_AVAILABLE)


class TestTrouble:
    """Each verb says so and names the file, and nothing that was there is lost."""

    def test_not_a_database(self, host: Host) -> None:
        host.database.parent.mkdir(parents=True)
        host.database.write_bytes(b"garbage " * 4096)
        for verb, text in verbs(host):
            assert f"{host.database}; file is not a database" in text, verb
        assert host.database.read_bytes() == b"garbage " * 4096

    def test_a_damaged_database(self, host: Host) -> None:
        host.add(NET)
        connection = sqlite3.connect(host.database)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        data = host.database.read_bytes()
        damaged = data[:4096] + b"\xff" * (len(data) - 4096)
        host.database.write_bytes(damaged)
        assert f"{host.database}; database disk image is malformed" in host.call(
            "ADD", NET, "c2"
        ).error(Code.IO_FAILURE)
        assert str(host.database) in host.call("DEL", NET).error(Code.IO_FAILURE)

    def test_a_newer_schema(self, host: Host) -> None:
        host.add(NET)
        self.execute(host, "PRAGMA user_version = 3")
        for verb, text in verbs(host):
            assert str(host.database) in text, verb
            assert "schema version is 3, this version knows 2" in text, verb
        self.execute(host, "PRAGMA user_version = 2")
        assert host.add(NET) == ["10.0.0.1/16"]
        assert host.add(NET, "c2") == ["10.0.0.2/16"]

    def test_somebody_elses_database(self, host: Host) -> None:
        host.database.parent.mkdir(parents=True)
        self.execute(host, "CREATE TABLE precious (x)")
        for verb, text in verbs(host):
            assert f"another version: {host.database}" in text, verb

    def test_a_directory_in_its_place(self, host: Host) -> None:
        host.database.mkdir(parents=True)
        for verb, text in verbs(host):
            assert str(host.database) in text, verb

    def test_read_only(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        host.add(NET)
        real = sqlite3.connect

        def read_only(path: str, **keys: Any) -> object:
            return real(path if "uri" in keys else f"file:{path}?mode=ro", **{**keys, "uri": True})

        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", read_only)
            for verb, text in verbs(host, reading=False):
                assert f"{host.database}; attempt to write a readonly database" in text, verb
        assert host.add(NET) == ["10.0.0.1/16"]

    def test_a_lock_that_cannot_be_made(self, host: Host) -> None:
        host.state.parent.mkdir(exist_ok=True)
        host.state.write_text("a file where the directory should be")
        text = host.call("ADD", NET).error(Code.IO_FAILURE)
        assert str(host.state) in text

    def test_full_disk(self, host: Host) -> None:
        host.add(NET)
        limit = 1024  # bytes of any file: less than a page of the log

        def body(report: Callable[[object], None]) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for number in range(3):
                try:
                    report(host.store.lease(owner(number), [Ask(POOL)]))
                except CniError as error:
                    report([int(error.code), error.msg])

        status, lines = reports(*child(body))
        assert status == 0
        assert lines == [[5, f"cannot lease an address: {host.database}"]] * 3
        ledger_state.check(host.database)
        assert list(ledger_state.leases(host.database).values()) == ["c1"]
        assert host.add(NET, "c2") == ["10.0.0.2/16"]

    def test_no_space_is_a_status(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "_SPACE_NEEDED", 1 << 62)
        assert "no space" in host.call("STATUS", NET, cniVersion="1.1.0").error(50)

    def test_the_lock_is_held_too_long(self, host: Host) -> None:
        host.add(NET)
        with locked(str(host.database.with_name("leases.lock"))):
            status, lines = reports(*child(lambda report: report(self.impatient(host))))
        assert (status, lines) == (0, [Code.TRY_AGAIN_LATER])

    @staticmethod
    def impatient(host: Host) -> int:
        try:
            FileStore(str(host.state), timeout=0.05).lease(owner(1), [Ask(POOL)])
        except CniError as error:
            return error.code
        return 0

    def test_someone_else_writes_without_our_lock(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file, "_BUSY_TIMEOUT", 0.05)
        host.add(NET)
        other = sqlite3.connect(host.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        text = host.call("ADD", NET, "c2").error(Code.TRY_AGAIN_LATER)
        assert f"{host.database}; database is locked" in text
        other.close()
        assert host.add(NET, "c2") == ["10.0.0.2/16"]

    def test_somebody_reads_without_our_lock(self, host: Host) -> None:
        host.add(NET)
        other = sqlite3.connect(host.database, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM lease").fetchone()
        assert host.add(NET, "c2") == ["10.0.0.2/16"]
        host.delete(NET)
        other.close()
        assert host.add(NET, "c3") == ["10.0.0.1/16"]

    def execute(self, host: Host, statement: str) -> None:
        connection = sqlite3.connect(host.database, isolation_level=None)
        connection.execute(statement)
        connection.close()


class TestWork:
    """No timing: SQLite's own count of the steps that an operation takes."""

    def test_does_not_grow_with_the_leases(self, host: Host) -> None:
        few, many = (self.steps(host, count) for count in (20, 5_000))
        assert many[0] <= few[0] * 1.2
        assert many[1] <= few[1] * 1.2

    def steps(self, host: Host, count: int) -> tuple[int, int]:
        """Virtual machine steps of a lease and of a release beside `count` leases with holes."""
        store = FileStore(str(host.state / str(count)))
        with store._transaction("fill") as ledger:
            for i in range(count):
                ledger.take(owner(i), Ask(POOL), 0)
            for i in range(0, count, 2):
                ledger.drop(ledger.leases(owner(i).attachment)[0])
        with store._transaction("count") as ledger:
            taking = self.counted(ledger, lambda: self.take(ledger))
            lease = ledger.leases(owner(count // 2 + 1).attachment)[0]
            return taking, self.counted(ledger, lambda: ledger.drop(lease))

    @staticmethod
    def take(ledger: Ledger) -> None:
        ledger.begin()
        ledger.take(owner("x"), Ask(POOL), 0)

    @staticmethod
    def counted(ledger: Ledger, work: Callable[[], object]) -> int:
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        ledger._connection.set_progress_handler(step, 1)
        work()
        ledger._connection.set_progress_handler(None, 1)
        return steps
