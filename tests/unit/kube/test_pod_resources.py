"""The pod-resources socket: what a kubelet says, and what stands where none is."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Literal

import grpc
import pytest

from cni.core import signals
from cni.core.errors import CniError, Code, Interrupted
from cni.kube import pod_resources
from tests.kubelet import server
from tests.kubelet.server import Kubelet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B = "intel.com/sriov_net_A", "intel.com/sriov_net_B"


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    kubelet = Kubelet(tmp_path)
    kubelet.give("other", "p1", "u2", {A: ["not-mine"]})
    kubelet.give("default", "p1", "u1", {A: ["3", "1"], B: ["x"]}, {}, {A: ["2"]})
    kubelet.give("default", "p2", "u3", {A: ["not-mine-either"]})
    kubelet.give("default", "bare", "u4", {})
    return kubelet


MINE = [(A, ["3"]), (A, ["1"]), (B, ["x"]), (A, ["2"])]


def ask(directory: Path, name: str = "p1") -> list[tuple[str, list[str]]]:
    return pod_resources.of_pod(str(directory), "default", name)


def refusal(directory: Path) -> str:
    with pytest.raises(CniError) as caught:
        ask(directory)
    error = caught.value
    prefix = f"cannot ask the kubelet at {directory}/pod-resources/kubelet.sock: "
    assert (error.code, error.msg[: len(prefix)]) == (Code.TRY_AGAIN_LATER, prefix)
    return error.msg[len(prefix) :]


# a kubelet


def test_get_tells_the_devices_of_a_pod(kubelet: Kubelet) -> None:
    with kubelet:
        assert ask(kubelet.directory) == MINE
        assert ask(kubelet.directory, "bare") == []
    assert kubelet.calls == ["Get", "Get"]


@pytest.mark.parametrize("get", ["disabled", "absent"])
def test_list_is_asked_where_get_is_not_served(
    kubelet: Kubelet, get: Literal["disabled", "absent"]
) -> None:
    kubelet.get = get
    with kubelet:
        assert ask(kubelet.directory) == MINE
        assert ask(kubelet.directory, "bare") == []
        assert ask(kubelet.directory, "absent") == []
    assert kubelet.calls[-1] == "List"


def test_a_pod_that_get_does_not_know(kubelet: Kubelet) -> None:
    with kubelet:
        assert ask(kubelet.directory, "absent") == []
    assert kubelet.calls == ["Get", "List"]


def test_two_pods_of_one_name_are_not_told_apart(kubelet: Kubelet) -> None:
    kubelet.give("default", "p1", "u9", {A: ["9"]})
    kubelet.get = "disabled"
    with kubelet:
        assert "2 pods of that name" in refusal(kubelet.directory)


def test_an_answer_larger_than_any_window(kubelet: Kubelet) -> None:
    for pod in range(3000):
        kubelet.give("many", f"p{pod}", f"m{pod}", {A: [f"{n}-{'x' * 200}" for n in range(8)]})
    kubelet.get = "disabled"
    assert sum(len(server.pod_resources(pod)) for pod in kubelet.pods) > 5 << 20
    with kubelet:
        assert ask(kubelet.directory) == MINE


@pytest.mark.parametrize(
    ("status", "method"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Get"),  # the kubelet counts calls
        (grpc.StatusCode.INTERNAL, "List"),
        (grpc.StatusCode.UNKNOWN, "List"),
        (grpc.StatusCode.UNIMPLEMENTED, "List"),
    ],
)
def test_a_call_that_fails(kubelet: Kubelet, status: grpc.StatusCode, method: str) -> None:
    def before(called: str, context: grpc.ServicerContext) -> None:
        if called == method:
            context.abort(status, "50% of \u20acvery\nthing")

    kubelet.get, kubelet.before = "disabled", before
    with kubelet:
        assert (
            refusal(kubelet.directory) == f"gRPC status {status.value[0]}: 50% of \u20acvery\nthing"
        )
    assert kubelet.calls[-1] == method


@pytest.fixture
def release(kubelet: Kubelet) -> Iterator[threading.Event]:
    """The kubelet answers when this is set: at the end of the test."""
    event = threading.Event()

    def before(method: str, context: grpc.ServicerContext) -> None:
        event.wait(60)

    kubelet.before = before
    with kubelet:
        yield event
        event.set()


def test_a_kubelet_that_takes_too_long(
    kubelet: Kubelet, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_resources, "_SECONDS", 0.3)
    assert refusal(kubelet.directory) == "timed out"


def test_a_slow_kubelet_is_waited_for(kubelet: Kubelet) -> None:
    kubelet.before = lambda method, context: time.sleep(0.5)
    with kubelet:
        assert ask(kubelet.directory) == MINE


def test_a_signal_ends_the_wait(kubelet: Kubelet, release: threading.Event) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signals.install()

    def kill(method: str, context: grpc.ServicerContext) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        release.wait(60)

    kubelet.before = kill
    try:
        with pytest.raises(Interrupted):
            ask(kubelet.directory)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert not release.is_set()


# no kubelet


def test_no_socket(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "No such file or directory"


def test_a_socket_that_is_a_plain_file_or_nobodys(tmp_path: Path) -> None:
    path = Kubelet(tmp_path).socket
    path.write_text("")
    assert refusal(tmp_path) == "Connection refused"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as nobodys:
        nobodys.bind(str(path))
    assert refusal(tmp_path) == "Connection refused"


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    assert refusal(tmp_path / ("x" * 120)) == "AF_UNIX path too long"
