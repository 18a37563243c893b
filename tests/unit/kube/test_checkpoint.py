"""The kubelet's checkpoint file: its shapes, old and new, and everything that it might hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni.core.errors import CniError, Code
from cni.kube import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

UID = "970a395d-bb3b-11e8-89df-408d5c537d23"
ENTRY = {
    "PodUID": UID,
    "ContainerName": "appcntr1",
    "ResourceName": "intel.com/sriov_net_A",
    "DeviceIDs": {"-1": ["0000:03:02.3", "0000:03:02.0"]},
    "AllocResp": "CikKC3NyaW92X25ldF9BEhogMDAwMDowMzowMi4zIDAwMDA6MDM6MDIuMA==",
}
OTHER = ENTRY | {"PodUID": "b", "DeviceIDs": {"0": ["0000:03:02.7"]}}


def path_of(directory: Path) -> Path:
    path = directory / "device-plugins" / "kubelet_internal_checkpoint"
    path.parent.mkdir(exist_ok=True)
    return path


def written(directory: Path, *entries: object) -> str:
    data = {"PodDeviceEntries": list(entries), "RegisteredDevices": {"intel.com/sriov_net_A": []}}
    path_of(directory).write_text(json.dumps({"Data": data, "Checksum": 229855270}))
    return str(directory)


def refusal(directory: Path, uid: str = UID) -> CniError:
    with pytest.raises(CniError) as caught:
        checkpoint.of_pod(str(directory), uid)
    assert caught.value.msg.startswith(f"cannot read {path_of(directory)}: ")
    return caught.value


def test_the_devices_of_a_pod_and_of_no_other(tmp_path: Path) -> None:
    directory = written(tmp_path, OTHER, ENTRY)
    wanted = [("intel.com/sriov_net_A", ["0000:03:02.3", "0000:03:02.0"])]
    assert checkpoint.of_pod(directory, UID) == wanted
    assert checkpoint.of_pod(directory, "absent") == []


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        ({"1": ["d", "c"], "0": ["b", "a"]}, ["d", "c", "b", "a"]),
        ({"0": ["a"], "1": None}, ["a"]),
        (["b", "a"], ["b", "a"]),
        (None, []),
        ({}, []),
    ],
)
def test_shapes_of_device_ids(tmp_path: Path, ids: object, wanted: list[str]) -> None:
    directory = written(tmp_path, ENTRY | {"DeviceIDs": ids})
    assert checkpoint.of_pod(directory, UID) == [("intel.com/sriov_net_A", wanted)]


def test_a_node_without_devices(tmp_path: Path) -> None:
    path_of(tmp_path).write_text('{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}}}')
    assert checkpoint.of_pod(str(tmp_path), UID) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "the document is not an object"),
        ("{}", "no Data"),
        ('{"Data":[]}', "Data is not an object"),
        ('{"Data":{}}', "no Data.PodDeviceEntries"),
        ('{"Data":{"PodDeviceEntries":{}}}', "Data.PodDeviceEntries is not a list"),
        ('{"Data":{"PodDeviceEntries":[1]}}', "Data.PodDeviceEntries[0] is not an object"),
        ('{"Data":{"PodDeviceEntries":[{}]}}', "no Data.PodDeviceEntries[0].PodUID"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "integer string conversion"),
    ],
)
def test_a_document_of_another_shape(tmp_path: Path, text: str, words: str) -> None:
    path_of(tmp_path).write_text(text)
    error = refusal(tmp_path)
    assert (error.code, words in error.msg) == (Code.DECODE_FAILURE, True), error.msg


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PodUID": 1}, "PodDeviceEntries[1].PodUID is not a string"),
        ({"ResourceName": None}, "PodDeviceEntries[1].ResourceName is not a string"),
        ({"DeviceIDs": "a"}, "PodDeviceEntries[1].DeviceIDs is not an object"),
        ({"DeviceIDs": {"0": "a"}}, "PodDeviceEntries[1].DeviceIDs.0 is not a list"),
        ({"DeviceIDs": {"0": ["a", 1]}}, "PodDeviceEntries[1].DeviceIDs.0[1] is not a string"),
        ({"DeviceIDs": [[]]}, "PodDeviceEntries[1].DeviceIDs[0] is not a string"),
    ],
)
def test_an_entry_of_another_shape(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    written(tmp_path, OTHER, ENTRY | change)
    error = refusal(tmp_path)
    assert (error.code, words in error.msg) == (Code.DECODE_FAILURE, True), error.msg


def test_what_another_pod_has_is_not_looked_at(tmp_path: Path) -> None:
    directory = written(tmp_path, OTHER | {"DeviceIDs": 1, "ResourceName": 2}, ENTRY)
    assert len(checkpoint.of_pod(directory, UID)) == 1


def test_what_is_no_file(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    assert "No such file" in refusal(tmp_path).msg
    os.mkfifo(path)  # nobody writes to it
    assert "not a regular file" in refusal(tmp_path).msg
    path.unlink()
    path.mkdir()
    assert "Is a directory" in refusal(tmp_path).msg
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert "not a regular file" in refusal(tmp_path).msg


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with path_of(tmp_path).open("wb") as file:
        file.truncate(checkpoint.MAX_SIZE + 1)
    assert "larger than 16777216 bytes" in refusal(tmp_path).msg


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path_of(tmp_path).write_bytes(b'{"Data":\xff}')
    assert refusal(tmp_path).code == Code.DECODE_FAILURE


def test_a_pod_without_a_uid_has_no_entry(tmp_path: Path) -> None:
    written(tmp_path, ENTRY | {"PodUID": ""})
    assert "UID" in refusal(tmp_path, "").msg


SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(UID)
KEY = st.sampled_from(["Data", "PodDeviceEntries", *ENTRY]) | st.text(max_size=3)
ANY = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=5)
)
OPTIONAL = dict.fromkeys(ENTRY.keys() - {"PodUID"}, ANY)
ENTRIES = st.lists(st.fixed_dictionaries({"PodUID": st.just(UID)}, optional=OPTIONAL), max_size=3)
DATA = st.fixed_dictionaries({"PodDeviceEntries": ENTRIES | ANY})
DOCUMENT = (ANY | st.fixed_dictionaries({"Data": DATA})).map(lambda each: json.dumps(each).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=DOCUMENT | st.binary(max_size=100))
def test_any_file_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path_of(tmp_path).write_bytes(data)
    try:
        for resource, ids in checkpoint.of_pod(str(tmp_path), UID):
            assert all(isinstance(each, str) for each in [resource, *ids])
    except CniError as error:
        assert error.msg.startswith("cannot read ")
