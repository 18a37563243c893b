"""Whose a VF is, from the files of the plugin and of the original."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.ctl.vf import orphan
from cni.ctl.vf.owners import Owner, all_owners, forget
from cni.sriov.allocation import namespace

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = "0000:21:10.0"
LIVING = "/proc/self/ns/net"


def record(state: Path, name: str, **extra: Any) -> None:
    """As the original writes it; `x` is ours."""
    fields: dict[str, Any] = {"name": "net", "deviceID": DEVICE, "OrigVfState": {}}
    (state / "sriov").mkdir(exist_ok=True)
    (state / "sriov" / name).write_text(json.dumps(fields | ({"x": extra} if extra else {})))


def allocation(state: Path, netns: str) -> None:
    (state / "sriov/pci").mkdir(parents=True, exist_ok=True)
    (state / "sriov/pci" / DEVICE).write_text(netns)


def test_none(tmp_path: Path) -> None:
    assert all_owners(str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("phase", "netns", "shown", "lives"),
    [
        ("done", LIVING, "done", True),
        ("adding", LIVING, "adding", True),
        ("done", "/run/netns/gone", "stale", False),
        ("orphan", "/run/netns/gone", "orphan", False),
    ],
)
def test_ours(tmp_path: Path, phase: str, netns: str, shown: str, lives: bool) -> None:
    record(tmp_path, "a-b-net1", containerID="a-b", ifName="net1", netns=netns, phase=phase)
    owner = all_owners(str(tmp_path))[DEVICE]
    assert owner == Owner("net", "a-b", "net1", netns, shown, lives)
    assert str(owner) == "net/a-b/net1"


def test_another_namespace_at_the_same_path(tmp_path: Path) -> None:
    number = namespace(LIVING)
    record(tmp_path, "c-net1", containerID="c", ifName="net1", netns=LIVING, netnsID=number)
    assert all_owners(str(tmp_path))[DEVICE].phase == "done"
    record(tmp_path, "c-net1", containerID="c", ifName="net1", netns=LIVING, netnsID=number + 1)
    assert all_owners(str(tmp_path))[DEVICE].phase == "stale"


def test_before_a_restart(tmp_path: Path) -> None:
    record(tmp_path, "c-net1", containerID="c", ifName="net1", netns=LIVING, bootID="another")
    allocation(tmp_path, LIVING)
    assert all_owners(str(tmp_path)) == {}
    said = orphan.release(str(tmp_path), DEVICE)
    assert said.startswith(f"done: {DEVICE} is free; forgot") and "restored" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "lock" not in path.name]


def test_a_vf_that_was_made_anew(tmp_path: Path) -> None:
    """The pod of the record lives, and has lost its VF."""
    record(tmp_path, "c-net1", containerID="c", ifName="net1", netns=LIVING, instance=7)
    assert all_owners(str(tmp_path)) == {}
    allocation(tmp_path, "/proc/thread-self/ns/net")
    assert all_owners(str(tmp_path))[DEVICE].phase == "allocated"
    forget(str(tmp_path), [DEVICE, "0000:21:10.2"])
    assert orphan.release(str(tmp_path), DEVICE) == f"nothing to do: nobody has {DEVICE}"


def test_what_counts() -> None:
    owner = Owner("", "", "", "/run/netns/gone", "stale", lives=False)
    assert not owner.counts
    assert owner._replace(lives=True).counts and owner._replace(container_id="c").counts


def test_of_the_original(tmp_path: Path) -> None:
    """The file's name alone tells the attachment, the allocation the namespace."""
    record(tmp_path, "0123abcd-net1-0")
    allocation(tmp_path, LIVING)
    assert all_owners(str(tmp_path))[DEVICE] == Owner(
        "net", "0123abcd", "net1-0", LIVING, "done", True
    )


def test_an_allocation_alone(tmp_path: Path) -> None:
    allocation(tmp_path, LIVING)
    owner = all_owners(str(tmp_path))[DEVICE]
    assert (str(owner), owner.phase) == (LIVING, "allocated")
    with pytest.raises(CniError, match=f"belongs to {LIVING}, nothing was changed"):
        orphan.release(str(tmp_path), DEVICE)
    allocation(tmp_path, "/run/netns/gone")
    assert all_owners(str(tmp_path))[DEVICE].phase == "stale"
    assert orphan.release(str(tmp_path), DEVICE).startswith(f"done: {DEVICE} is free")
    assert orphan.release(str(tmp_path), DEVICE) == f"nothing to do: nobody has {DEVICE}"


def test_the_newest_record_counts(tmp_path: Path) -> None:
    for number, name in enumerate(("old-net1", "new-net1")):
        record(tmp_path, name, containerID=name[:3], ifName="net1", netns=LIVING)
        os.utime(tmp_path / "sriov" / name, (time.time() + number, time.time() + number))
    assert all_owners(str(tmp_path))[DEVICE].container_id == "new"
