"""The record of a VF, in the original's format and back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.types import Attachment, Request
from cni.host.vf import Rate, Settings, Vlan
from cni.sriov import allocation, records
from cni.sriov.record import DONE, ORPHAN, Record, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

#: as sriov-cni writes it after an ADD with most options
ORIGINAL: dict[str, Any] = json.loads("""
{"MAC":"60:00:00:00:00:E1","MTU":1500,"Master":"enp175s0f1","OrigVfState":{"AdminMAC":
"ab:cd:ef:00:00:01","EffectiveMAC":"fe:00:00:00:00:01","HostIFName":"enp175s6","LinkState":2,
"MTU":3333,"MaxTxRate":7,"MinTxRate":5,"SpoofChk":true,"Trust":false,"Vlan":6,"VlanProto":34984,
"VlanQoS":1},"VFID":3,"cniVersion":"1.1.0","deviceID":"0000:af:06.0","ipam":{"type":"x"},
"link_state":"enable","logFile":"","logLevel":"debug","max_tx_rate":20,"min_tx_rate":null,
"name":"n","runtimeConfig":{},"spoofchk":"on","trust":"off","type":"sriov","vlan":100,
"vlanProto":"802.1q","vlanQoS":0}
""")

BEFORE = Settings(Vlan(6, 1, "802.1ad"), "ab:cd:ef:00:00:01", Rate(5, 7), True, False, "disable")

OURS = Record(
    network="n", key="c1-net1", device="0000:af:06.0", container_id="c1", ifname="net1",
    phase="adding", pf="pf0", vf_index=3,
    wanted=Settings(Vlan(100, 0), "60:00:00:00:00:e1", Rate(0, 20), True, False, "enable"),
    before=BEFORE, host_name="enp175s6", host_mac="fe:00:00:00:00:01", host_mtu=3333,
    host_flags=0x1003, host_alias="mine", host_altnames=("a", "b"), instance=9,
    netns="/run/netns/x", netns_id=7, boot="b",
)  # fmt: skip


def written(record: Record) -> Any:
    return json.loads(json.dumps(encode(record, "1.1.0", "x")))


def test_a_record_of_the_original() -> None:
    record = decode("c1-net1", ORIGINAL)
    assert record.wanted == OURS.wanted
    assert record.before == BEFORE
    assert (record.device, record.pf, record.vf_index) == ("0000:af:06.0", "enp175s0f1", 3)
    assert (record.host_name, record.host_mac) == ("enp175s6", "fe:00:00:00:00:01")
    assert record.host_mtu == 3333
    assert (record.phase, record.host_altnames, record.netns) == (DONE, None, "")
    assert (record.owner, record.network) == ("c1-net1", "n")


def test_ours_is_one_of_the_original() -> None:
    fields = written(OURS)
    del fields["x"]
    same = set(ORIGINAL) - {"logFile", "logLevel", "MAC", "MTU", "Master", "min_tx_rate"}
    assert {key: fields[key] for key in same} == {key: ORIGINAL[key] for key in same}
    assert set(fields) <= set(ORIGINAL)


def test_ours_comes_back() -> None:
    assert decode(OURS.key, written(OURS)) == OURS
    plain = OURS._replace(wanted=Settings(), host_name="", host_mac="", host_altnames=())
    assert decode(OURS.key, written(plain)) == plain


def test_what_a_driver_does_not_tell_is_not_restored() -> None:
    """The original reads it as true."""
    silent = OURS._replace(before=BEFORE._replace(trust=None, rate=None, link_state=None))
    back = decode(OURS.key, written(silent))
    assert back.before == silent.before
    assert back.restored == Settings(BEFORE.vlan, BEFORE.mac, spoofchk=True)


def test_only_what_was_asked_for_is_restored() -> None:
    """And the MAC address, which some drivers change with the interface's (sriov-cni#397)."""
    plain = OURS._replace(wanted=Settings(trust=True))
    assert plain.restored == Settings(mac=BEFORE.mac, trust=False)
    assert OURS.restored == BEFORE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("deviceID",), "../../etc/passwd"), (("deviceID",), None), (("deviceID",), 5),
        (("OrigVfState",), None), (("OrigVfState",), []), (("OrigVfState", "HostIFName"), "a/b"),
        (("OrigVfState", "HostIFName"), "x" * 16), (("OrigVfState", "EffectiveMAC"), "zz"),
        (("OrigVfState", "AdminMAC"), "60:00:00:00:00:0g"), (("OrigVfState", "MTU"), "1500"),
        (("OrigVfState", "LinkState"), 7), (("OrigVfState", "Vlan"), -1), (("vlan",), "100"),
        (("name",), ["n"]), (("MAC",), "60:00"), (("VFID",), "3"), (("x",), "x"),
        (("OrigVfState", "MTU"), 2**31), (("OrigVfState", "Vlan"), 4096), (("vlan",), 2**40),
        (("vlanQoS",), 8), (("MAC",), "aa bb cc dd ee 02"), (("MAC",), "aa:bb:cc:dd:ee:2"),
        (("x",), {"alias": "\ud800"}), (("x",), {"netns": "a\0b"}), (("x",), {"altNames": [5]}),
        (("x",), {"altNames": 5}), (("x",), {"known": 5}), (("x",), {"netns": 5}),
    ],
)  # fmt: skip
def test_a_record_that_makes_no_sense_is_none(
    tmp_path: Path, path: tuple[str, ...], value: object
) -> None:
    fields = json.loads(json.dumps(ORIGINAL))
    at = fields
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file = tmp_path / "sriov" / "c1-net1"
    file.parent.mkdir()
    file.write_text(json.dumps(fields))
    assert records.read(str(tmp_path), "c1-net1") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", "[" * 5000, "\x00\xff"])
def test_a_file_that_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sriov" / "c1-net1"
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))
    assert records.read(str(tmp_path), "c1-net1") is None
    assert list(records.all_records(str(tmp_path))) == []


def test_what_is_no_file_is_no_record(tmp_path: Path) -> None:
    """None of it may stop every VF of the node, or be waited for."""
    folder = tmp_path / "sriov"
    (folder / "a-directory").mkdir(parents=True)
    os.mkfifo(folder / "a-fifo")
    (folder / "a-loop").symlink_to("a-loop")
    (folder / "a-device").symlink_to("/dev/zero")
    assert list(records.all_records(str(tmp_path))) == []


def test_the_newest_record_of_a_device_comes_first(tmp_path: Path) -> None:
    state = str(tmp_path)
    req = Request("ADD", {}, {"PLAIT_STATE_DIR": state})
    others = OURS._replace(key="c3-net1", device="0000:af:06.1")
    for when, record in enumerate((OURS, OURS._replace(key="c2-net1"), others)):
        records.write(req, record)
        os.utime(tmp_path / "sriov" / record.key, (when, when))
    assert [each.key for each in records.of_device(state, OURS.device)] == ["c2-net1", "c1-net1"]
    records.set_phase(state, OURS, ORPHAN)
    orphan = records.read(state, OURS.key)
    assert orphan and orphan._replace(written=0) == OURS._replace(phase=ORPHAN)
    records.remove(state, OURS)
    assert records.read(state, OURS.key) is None


def test_two_attachments_may_share_the_name_of_a_file(tmp_path: Path) -> None:
    state = str(tmp_path)
    record = OURS._replace(key=records.key_of("a-b", "c"), container_id="a-b", ifname="c")
    records.write(Request("ADD", {}, {"PLAIT_STATE_DIR": state}), record)
    assert records.of_attachment(state, Attachment("n", "a-b", "c"))
    assert records.of_attachment(state, Attachment("n", "a", "b-c")) is None


def test_a_record_of_an_earlier_boot(tmp_path: Path) -> None:
    now = records.this_boot()
    assert records.is_of_this_boot(OURS._replace(boot=now))
    assert not records.is_of_this_boot(OURS._replace(boot="another"))
    # of the original's there is only the file's date
    assert not records.is_of_this_boot(OURS._replace(boot="", written=1))
    assert records.is_of_this_boot(OURS._replace(boot="", written=2**62))


def test_allocations(tmp_path: Path) -> None:
    state, device = str(tmp_path), "0000:af:06.0"
    assert allocation.holder(state, device) == ""
    allocation.take(state, device, "/run/netns/x")
    with allocation.exclusive(state, device), allocation.exclusive_pf(state, "0000:af:00.1"):
        assert allocation.all_held(state) == [device]
    file = tmp_path / "sriov" / "pci" / device
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("/run/netns/x", 0o600)
    assert allocation.namespace("/run/netns/x") == 0
    assert (
        allocation.namespace("/proc/self/ns/net") == allocation.namespace("/proc/self/ns/net") > 0
    )
    for odd in (b"\xff", b"", b"\0" * 9, b"/proc/\0"):
        file.write_bytes(odd)
        assert allocation.namespace(allocation.holder(state, device)) == 0
    allocation.give_back(state, device)
    allocation.give_back(state, device)
    assert allocation.all_held(state) == []
