"""host-local's files: the original's format, what crashes leave, and an index that never lies."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from ipam.host_local import lease_files
from ipam.host_local.lease_files import owner_of
from tests.unit.ipam.host_local import Network, conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


NET = conf("10.0.0.0/24")
NOBODY: dict[str, Any] = {"cni.dev/valid-attachments": []}


@pytest.fixture
def net(tmp_path: Path) -> Network:
    return Network(tmp_path / "state")


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses whose files are read from now on."""
    read, seen = lease_files.read, []

    def counted(directory: str, address: str) -> bytes | None:
        seen.append(address)
        return read(directory, address)

    monkeypatch.setattr(lease_files, "read", counted)
    return seen


class TestFormat:
    @pytest.fixture(params=[True, False], ids=["unnamed first", "named at once"])
    def kind(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second way is that of file systems without O_TMPFILE."""
        if not request.param:
            monkeypatch.setattr(lease_files.LeaseFiles, "_unnamed", lambda self: None)

    @pytest.mark.usefixtures("kind")
    def test_files(self, net: Network) -> None:
        net.add(conf("10.0.0.0/24", "fd00:0::/64"), "dummy")
        assert net.leases() == {"10.0.0.2": "dummy\r\neth0", "fd00::2": "dummy\r\neth0"}
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in net.files.iterdir()}
        assert set(modes) == {
            "10.0.0.2",
            "fd00::2",
            "lock",
            "last_reserved_ip.0",
            "last_reserved_ip.1",
        }
        assert set(modes.values()) == {0o600}
        assert (net.files / "last_reserved_ip.1").read_text() == "fd00::2"

    def test_a_shorter_last_address(self, net: Network) -> None:
        net.add(NET, args="IP=10.0.0.250")
        net.add(NET, "b", args="IP=10.0.0.9")
        assert (net.files / "last_reserved_ip.0").read_text() == "10.0.0.9"

    @pytest.mark.usefixtures("kind")
    def test_a_write_that_fails_leaves_no_file(
        self, net: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            assert "cannot lease an address" in net.call("ADD", NET).error(5)
        assert not net.leases()

    def test_no_place_for_unnamed_files(
        self, net: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.open

        def refuse(path: Any, flags: int, *args: Any, **keys: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *args, **keys)

        monkeypatch.setattr(os, "open", refuse)
        assert net.add(NET) == ["10.0.0.2/24"]
        assert net.leases() == {"10.0.0.2": "c1\r\neth0"}
        net.call("STATUS", NET, cniVersion="1.1.0").ok()

    def test_durable_before_it_is_printed(
        self, net: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        fsync, link = os.fsync, os.link

        def note_sync(fd: int) -> None:
            synced.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
            fsync(fd)

        def note_link(*args: Any, **keys: Any) -> None:
            synced.append("link")
            link(*args, **keys)

        monkeypatch.setattr(os, "fsync", note_sync)
        monkeypatch.setattr(os, "link", note_link)
        net.add(conf("10.0.0.0/24", "fd00::/64"))
        assert synced == ["file", "link", "file", "link", "directory"]


class TestTorn:
    """p#498: in the original an empty file takes its address for ever."""

    @pytest.mark.parametrize("text", ["", " ", "\r\n", "\r\n\r\n", "\0" * 70])
    def test_is_free(self, net: Network, text: str) -> None:
        net.add(NET)
        net.write("10.0.0.3", text)
        assert net.add(NET, "b") == ["10.0.0.3/24"]

    def test_is_free_for_a_request(self, net: Network) -> None:
        net.write("10.0.0.3", "")
        assert net.add(NET, args="IP=10.0.0.3") == ["10.0.0.3/24"]

    def test_a_small_range_is_not_filled_by_them(self, net: Network) -> None:
        net.write("10.0.0.2", "")
        assert net.add(conf("10.0.0.0/30")) == ["10.0.0.2/30"]

    def test_an_id_without_an_interface_is_no_torn_file(self, net: Network) -> None:
        net.write("10.0.0.2", "somebo")
        assert net.add(NET) == ["10.0.0.3/24"]

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/x", path)])
    def test_what_is_no_file_is_taken(self, net: Network, make: Callable[[str], None]) -> None:
        net.add(NET)
        make(str(net.files / "10.0.0.3"))
        assert net.add(NET, "b") == ["10.0.0.4/24"]
        net.call("GC", NET, cniVersion="1.1.0", **NOBODY).ok()
        assert os.path.lexists(net.files / "10.0.0.3")


class TestIndex:
    """Missing, stale or broken, it may cost time and nothing else."""

    def check(self, net: Network) -> None:
        """Of whom the addresses are, whoever gave them."""
        assert net.add(NET, "known") == ["10.0.0.2/24"]
        assert net.add(NET, "foreign") == ["10.0.0.9/24"]
        net.delete(NET, "foreign")
        assert set(net.leases()) == {"10.0.0.2"}

    @pytest.fixture(autouse=True)
    def known(self, net: Network) -> None:
        net.add(NET, "known")

    def test_it_spares_the_reading(self, net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        for i in range(40):
            net.add(NET, f"c{i}")
        seen = count_reads(monkeypatch)
        net.add(NET, "new")
        assert seen == []
        net.add(NET, "c7")
        assert len(seen) == 1
        net.delete(NET, "c7")
        assert len(seen) == 3  # whose it is, and before it is removed
        net.delete(NET, "nobody")
        assert len(seen) == 3

    def test_names_that_are_like_others(self, net: Network) -> None:
        names, ifnames = ("known", "know", "nown", "knownknown"), ("eth0", "eth0.1")
        for name in names:
            for ifname in ifnames:
                net.add(NET, name, ifname=ifname)
        net.delete(NET, "known")
        net.delete(NET, "know", ifname="eth0.1")
        expected = {f"{name}\r\n{ifname}" for name in names for ifname in ifnames}
        expected -= {"known\r\neth0", "know\r\neth0.1"}
        assert set(net.leases().values()) == expected

    def test_a_file_of_somebody_else(self, net: Network) -> None:
        net.write("10.0.0.9", "foreign\r\neth0")
        self.check(net)

    def test_in_the_same_instant(self, net: Network) -> None:
        """A kernel's times go in steps of milliseconds: the directory may have the same again."""
        before = os.stat(net.files).st_mtime_ns
        net.write("10.0.0.9", "foreign\r\neth0")
        os.utime(net.files, ns=(0, before - 1))  # what the kernel gave before we added one
        self.check(net)

    def test_one_removed_and_one_made(self, net: Network) -> None:
        net.add(NET, "c1")
        (net.files / "10.0.0.3").unlink()
        net.write("10.0.0.9", "foreign\r\neth0")
        self.check(net)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.unlink(),
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(b"\0" * 300),
            lambda path: path.write_bytes(path.read_bytes()[:-5]),
            lambda path: path.write_bytes(path.read_bytes() + b"\x1ex"),
            lambda path: path.write_bytes(path.read_bytes().replace(b"sizes ", b"sizes x")),
            lambda path: path.write_bytes(b"\xff" + path.read_bytes()[1:]),
            lambda path: path.chmod(0),
            lambda path: (path.unlink(), path.mkdir()),
            lambda path: (path.unlink(), path.symlink_to("/nonexistent/x")),
        ],
    )
    def test_spoiled(self, net: Network, spoil: Callable[[Path], object]) -> None:
        net.write("10.0.0.9", "foreign\r\neth0")
        net.delete(NET, "nobody")  # it is current now
        spoil(net.index)
        self.check(net)

    def test_of_another_boot(self, net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ipam.host_local.index._boot_id", lambda: "another")
        seen = count_reads(monkeypatch)
        net.delete(NET, "nobody")
        assert seen == ["10.0.0.2"]

    def test_a_file_that_is_gone_or_another(self, net: Network) -> None:
        """An entry that is wrong although nothing shows it: every hit is verified."""
        wrong = net.index.read_bytes().replace(b"10.0.0.2", b"10.0.0.7")
        net.index.write_bytes(wrong)
        net.delete(NET, "known")
        assert set(net.leases()) == {"10.0.0.2"}

    def test_no_boot_id(self, net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ipam.host_local.index._boot_id", lambda: "")
        net.write("10.0.0.9", "foreign\r\neth0")
        self.check(net)

    def test_a_file_system_without_exact_times(
        self, net: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.utime

        def seconds(path: str, ns: tuple[int, int]) -> None:
            real(path, ns=(ns[0], ns[1] // 10**9 * 10**9))

        monkeypatch.setattr(os, "utime", seconds)
        for name in ("c1", "c2"):
            net.add(NET, name)
            net.delete(NET, name)
        net.write("10.0.0.9", "foreign\r\neth0")
        self.check(net)

    def test_a_file_that_cannot_be_read(
        self, net: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = lease_files.read

        def broken(directory: str, address: str) -> bytes | None:
            if address == "10.0.0.9":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return read(directory, address)

        net.write("10.0.0.9", "foreign\r\neth0")
        with monkeypatch.context() as patch:
            patch.setattr(lease_files, "read", broken)
            net.add(NET, "c1")
            net.delete(NET, "c1")
        self.check(net)

    def test_it_does_not_grow_for_ever(self, net: Network) -> None:
        ifname = "a" * 15
        container = "c" * 200
        for _ in range(700):  # in one process, and without waiting for the disk: some seconds
            net.add(NET, container, ifname=ifname)
            net.delete(NET, container, ifname=ifname)
        assert net.index.stat().st_size < 2 * (64 << 10)
        assert net.add(NET, "known") == ["10.0.0.2/24"]


def test_an_owner_is_trimmed_as_the_original_does() -> None:
    assert owner_of("   dummy\n ", "eth0") == b"dummy\r\neth0"
    assert owner_of("dummy") == b"dummy"
