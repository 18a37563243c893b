"""Device-info files: copied before the ADD, read after it, gone with the DEL."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.core import log
from cni.core.errors import CniError
from cni.store import files
from meta.multus import device_info

if TYPE_CHECKING:
    from pathlib import Path

RESOURCE, DEVICE = "intel.com/sriov_net_A", "0000:03:02.0"
CONTENT = b'{ "type":"pci", "x": 1e3,\n "pci":{"pci-address":"0000:03:02.0"}}\n'


class Devinfo:
    """A root with what a device plugin wrote for one device."""

    def __init__(self, base: Path) -> None:
        self.root = base / "devinfo"
        self.dp = self.root / "dp" / "intel.com-sriov_net_A-0000:03:02.0-device.json"
        self.dp.parent.mkdir(parents=True)
        self.dp.write_bytes(CONTENT)
        self.target = self.root / "cni" / "default-n1-cid1_net1"

    def path(self) -> str:
        return device_info.path(str(self.root), "default/n1", "cid1", "net1")

    def provide(self) -> bool:
        return device_info.provide(str(self.root), RESOURCE, DEVICE, self.path())

    def left(self) -> list[str]:
        return os.listdir(self.target.parent)


@pytest.fixture
def info(tmp_path: Path) -> Devinfo:
    return Devinfo(tmp_path)


@pytest.fixture(autouse=True)
def plain_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings go to standard error, whatever an earlier test configured."""
    for name, value in (("_threshold", 2), ("_file", ""), ("_stderr", True)):
        monkeypatch.setattr(log, name, value)


def test_copied_read_removed(info: Devinfo) -> None:
    assert info.path() == str(info.target)
    assert info.provide()
    assert info.target.read_bytes() == CONTENT
    assert info.target.stat().st_mode & 0o7777 == 0o444
    assert device_info.read(info.path()) == json.loads(CONTENT)
    device_info.remove(info.path())
    assert info.left() == []
    device_info.remove(info.path())
    assert device_info.read(info.path()) is None


def test_every_slash_is_a_dash(tmp_path: Path) -> None:
    assert device_info.path("/r", "a/b/c", "cid", "i/f") == "/r/cni/a-b-c-cid_i-f"
    (tmp_path / "dp").mkdir()
    (tmp_path / "dp" / "a-b-mlx5_0-1-device.json").write_text("{}")
    assert device_info.provide(str(tmp_path), "a/b", "mlx5_0/1", str(tmp_path / "cni" / "x"))


def test_what_an_earlier_attempt_left_is_replaced(info: Devinfo) -> None:
    info.provide()
    info.dp.write_bytes(b'{"type":"other"}')
    assert info.provide()
    assert device_info.read(info.path()) == {"type": "other"}


def test_what_an_earlier_attempt_left_goes_with_its_source(info: Devinfo) -> None:
    """The device may be another one, of which its plugin says nothing."""
    info.provide()
    info.dp.unlink()
    assert not info.provide()
    assert info.left() == []


def test_a_link_of_that_name_is_replaced_and_not_followed(info: Devinfo, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    info.target.parent.mkdir()
    info.target.symlink_to(victim)
    assert device_info.read(info.path()) is None
    assert info.provide()
    assert not info.target.is_symlink()
    assert victim.read_text() == "whole"


def test_a_directory_of_that_name_is_not_ours(info: Devinfo) -> None:
    info.target.mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory"):
        info.provide()
    assert device_info.read(info.path()) is None
    device_info.remove(info.path())
    assert info.left() == [info.target.name]


def test_a_copy_that_cannot_be_finished(info: Devinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        info.provide()
    assert info.left() == []


def test_what_a_killed_copy_left_goes(info: Devinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda _: None)
        patched.setattr(os, "rename", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.write(str(info.target), CONTENT)
    assert info.left() == [f".{info.target.name}.tmp"]
    device_info.remove(info.path())
    assert info.left() == []


def test_no_file_of_the_device_plugin(
    info: Devinfo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    info.dp.unlink()
    assert not info.provide()
    assert not info.target.parent.exists()
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(log, "_threshold", 4)
    info.dp.parent.rmdir()
    assert not info.provide()
    assert "level=debug" in capfd.readouterr().err


def make_large(path: Path) -> None:
    path.write_text('{"type": "pci"}' + " " * (64 << 10))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        where = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{where}/{path.name}")  # 108 bytes are soon spent
        finally:
            os.close(where)


@pytest.mark.parametrize(
    "make",
    [make_large, os.mkfifo, os.mkdir, make_socket, lambda path: path.symlink_to("/dev/zero")],
    ids=["large", "fifo", "directory", "socket", "link"],
)
def test_what_is_no_small_regular_file(
    info: Devinfo, capfd: pytest.CaptureFixture[str], make: object
) -> None:
    assert callable(make)
    info.dp.unlink()
    make(info.dp)
    assert not info.provide()
    assert "a device-info file cannot be used" in capfd.readouterr().err
    info.target.parent.mkdir(exist_ok=True)
    make(info.target)
    assert device_info.read(info.path()) is None
    assert "a device-info file cannot be used" in capfd.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"type": 5}',
        b'{"type": null, "pci": {}}',
        b'{"type": "p\xff"}',
        b'\xef\xbb\xbf{"type": "pci"}',
        b"[" * 60000,
        b'{"type": "pci", "n": ' + b"9" * 5000 + b"}",
    ],
)
def test_no_object_with_a_type(
    info: Devinfo, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    info.dp.write_bytes(content)
    assert info.provide()  # the delegate may know better
    assert info.target.read_bytes() == content
    assert device_info.read(info.path()) is None
    assert capfd.readouterr().err.count("\n") == 1


def test_a_file_that_the_plugin_wrote_itself(info: Devinfo) -> None:
    info.target.parent.mkdir()
    info.target.write_text('{"Type":"vdpa","version":"1.1.0","vdpa":{}}')
    assert device_info.read(info.path()) == {"Type": "vdpa", "version": "1.1.0", "vdpa": {}}


def test_the_largest_file(info: Devinfo) -> None:
    whole = b'{"type": "pci"}'.ljust(64 << 10)
    info.dp.write_bytes(whole)
    assert info.provide()
    assert device_info.read(info.path()) == {"type": "pci"}


BAD = ["../x", "x/..", "..", "a\0b", "a\nb", "half \ud800", "x" * 250, "é" * 125]


@pytest.mark.parametrize("bad", BAD)
def test_names_that_no_file_can_have(info: Devinfo, bad: str) -> None:
    root, target = str(info.root), str(info.target)
    for attempt in (
        lambda: device_info.path(root, bad, "cid1", "net1"),
        lambda: device_info.provide(root, bad, DEVICE, target),
        lambda: device_info.provide(root, RESOURCE, bad, target),
    ):
        with pytest.raises(CniError, match="device-info file") as refused:
            attempt()
        assert refused.value.code == 7
        str(refused.value).encode()  # the runtime can be told
    assert not info.target.parent.exists()


@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=20))
def test_any_name_stays_in_the_directory(name: str, other: str) -> None:
    try:
        path = device_info.path("/r", name, "cid1", other)
    except CniError as error:
        assert error.code == 7
        return
    assert os.path.dirname(os.path.normpath(path)) == "/r/cni"
    assert len(os.path.basename(path).encode()) <= 250
