"""Where a pod's devices come from: the socket first, the checkpoint when that is of no use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from cni.kube import kubelet as asked
from tests.kubelet.server import Kubelet

if TYPE_CHECKING:
    import grpc

ROOT = Path(__file__).resolve().parents[3]
A, B = "intel.com/sriov_net_A", "intel.com/sriov_net_B"


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    return Kubelet(tmp_path)


def of_pod(kubelet: Kubelet, name: str = "p1", uid: str = "u1") -> dict[str, list[str]]:
    return asked.of_pod(str(kubelet.directory), "default", name, uid)


def test_the_socket_is_asked_first(kubelet: Kubelet, capfd: pytest.CaptureFixture[str]) -> None:
    kubelet.give("default", "p1", "u1", {A: ["from-the-file"]})
    kubelet.write_checkpoint()
    kubelet.pods.clear()
    kubelet.give("default", "p1", "u1", {A: ["3", "1"], B: ["x"]}, {A: ["2"]})
    with kubelet:
        assert of_pod(kubelet) == {A: ["3", "1", "2"], B: ["x"]}
        assert of_pod(kubelet, "p2", "u2") == {}
    assert "level=warning" not in capfd.readouterr().err


@pytest.mark.parametrize("get", [True, False])
def test_vector_31(kubelet: Kubelet, *, get: bool) -> None:
    kubelet.get = "served" if get else "disabled"
    directory = str(kubelet.directory)
    kubelet.give("pod-namespace", "pod-name", "uid", {"resource": ["dev0", "dev1"]})
    with kubelet:
        found = asked.of_pod(directory, "pod-namespace", "pod-name", "uid")
        assert found == {"resource": ["dev0", "dev1"]}
        assert asked.of_pod(directory, "pod-namespace", "other", "uid2") == {}
        for namespace, name in (("", "pod-name"), ("pod-namespace", "")):
            with pytest.raises(CniError, match="no pod name or namespace"):
                asked.of_pod(directory, namespace, name, "uid")


def test_vector_29(kubelet: Kubelet, capfd: pytest.CaptureFixture[str]) -> None:
    """The checkpoint, for want of a socket; in the kubelet's order."""
    kubelet.give("default", "p1", "u1", {A: ["0000:03:02.3", "0000:03:02.0"]})
    kubelet.write_checkpoint()
    assert of_pod(kubelet) == {A: ["0000:03:02.3", "0000:03:02.0"]}
    assert of_pod(kubelet, "p2", "u2") == {}
    assert f"{kubelet.socket}: No such file" in capfd.readouterr().err


def fail(method: str, context: grpc.ServicerContext) -> None:
    import grpc

    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")


def test_a_kubelet_of_no_use(kubelet: Kubelet, capfd: pytest.CaptureFixture[str]) -> None:
    kubelet.give("default", "p1", "u1", {A: ["a"]})
    kubelet.write_checkpoint()
    kubelet.before = fail
    with kubelet:
        assert of_pod(kubelet) == {A: ["a"]}
    told = capfd.readouterr().err
    assert "level=warning" in told and "gRPC status 8: rejected by rate limit" in told


def test_two_pods_of_one_name_are_told_apart_by_the_checkpoint(kubelet: Kubelet) -> None:
    """A pod of a StatefulSet that comes back while the one before still ends."""
    kubelet.give("default", "p1", "u0", {A: ["old"]})
    kubelet.give("default", "p1", "u1", {A: ["new"]})
    kubelet.write_checkpoint()
    kubelet.get = "disabled"
    with kubelet:
        assert of_pod(kubelet) == {A: ["new"]}


def test_neither_can_be_used(kubelet: Kubelet) -> None:
    with pytest.raises(CniError) as caught:
        of_pod(kubelet)
    error = caught.value
    assert (error.code, error.msg) == (
        Code.TRY_AGAIN_LATER,
        "cannot find the devices of pod default/p1",
    )
    assert error.details == (
        f"cannot ask the kubelet at {kubelet.socket}: No such file or directory; "
        f"cannot read {kubelet.checkpoint}: No such file or directory"
    )


def test_neither_is_whole(kubelet: Kubelet) -> None:
    kubelet.socket.write_text("")
    kubelet.checkpoint.write_text("{}")
    with pytest.raises(CniError, match=r"Connection refused; .*: no Data$") as caught:
        of_pod(kubelet)
    assert caught.value.code == Code.TRY_AGAIN_LATER


def test_what_an_init_container_has_left_counts_once(kubelet: Kubelet) -> None:
    """The kubelet gives its devices to the containers after it, and keeps both entries."""
    kubelet.give("default", "p1", "u1", {A: ["b", "a"]}, {A: ["a", "c"]})
    kubelet.write_checkpoint()
    assert of_pod(kubelet) == {A: ["b", "a", "c"]}


@pytest.mark.parametrize(
    "device", ["", "x" * 256, "\u20ac" * 86, "a\0", "a\nb", "a\x1b[1m", "a\x7f", "a\u2028b"]
)
def test_an_id_that_cannot_be_one(kubelet: Kubelet, device: str) -> None:
    kubelet.give("default", "p1", "u1", {A: ["good", device]})
    kubelet.write_checkpoint()
    for _ in ("socket", "file"):
        with kubelet, pytest.raises(CniError, match="cannot be one") as caught:
            of_pod(kubelet)
        assert caught.value.code == Code.DECODE_FAILURE
        assert A in caught.value.msg
        kubelet.before = fail


def test_half_a_character_in_the_checkpoint(kubelet: Kubelet) -> None:
    kubelet.give("default", "p1", "u1", {A: ["\ud800"]})
    kubelet.write_checkpoint()
    with pytest.raises(CniError, match="cannot be one"):
        of_pod(kubelet)


def test_ids_of_every_kind_that_is_used(kubelet: Kubelet) -> None:
    ids = [
        "0000:03:02.0",
        "mlx5_0",
        "GPU-8a56a4bc::3",
        "a b",
        "\u20ac",
        "x" * 255,
        "mlx5_core.sf.2",
    ]
    kubelet.give("default", "p1", "u1", {A: ids})
    with kubelet:
        assert of_pod(kubelet) == {A: ids}


def test_h2_is_imported_for_a_call_alone() -> None:
    code = "import sys; from cni.kube import kubelet; print('h2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"False\n"
