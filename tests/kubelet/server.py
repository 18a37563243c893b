"""The kubelet's directory: the pod-resources socket, served by grpcio, and the checkpoint file.

    with Kubelet(tmp_path / "kubelet") as kubelet:
        kubelet.give("default", "p1", "uid-1", {"intel.com/sriov": ["0000:03:02.0"]})
        devices.of_pod(str(kubelet.directory), "default", "p1", "uid-1")

The messages are encoded here, by hand: nothing is shared with what is tested.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SERVICE = "v1.PodResourcesLister"


class Pod(NamedTuple):
    """A pod and its devices: for each container, resource -> device IDs."""

    namespace: str
    name: str
    uid: str
    containers: tuple[Mapping[str, Sequence[str]], ...]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + _varint(number // 128)


def encoded(number: int, value: bytes | str) -> bytes:
    """A field that holds text or a message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(number * 8 + 2) + _varint(len(data)) + data


def _device(resource: str, device: str) -> bytes:
    node = encoded(1, b"\x08\x01")  # NUMANode{ID: 1}
    return encoded(1, resource) + encoded(2, device) + encoded(3, node)


def pod_resources(pod: Pod) -> bytes:
    """A message PodResources, with everything in it that a real kubelet sends."""
    message = encoded(1, pod.name) + encoded(2, pod.namespace)
    for index, resources in enumerate(pod.containers):
        container = encoded(1, f"c{index}")
        for resource, ids in resources.items():
            # one ContainerDevices for each device, as the kubelet does it
            container += b"".join(encoded(2, _device(resource, each)) for each in ids)
        container += encoded(3, b"\x02\x03")  # cpu_ids, packed
        message += encoded(3, container)
    return message


class Kubelet:
    """A kubelet's directory; serves while it is entered as a context."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pods: list[Pod] = []
        self.calls: list[str] = []  #: the methods that were called
        #: disabled: what a kubelet before 1.34 says; absent: one before 1.27
        self.get: Literal["served", "disabled", "absent"] = "served"
        #: called before each answer; may wait, or abort the call
        self.before: Callable[[str, grpc.ServicerContext], None] = lambda method, context: None
        self.socket = directory / "pod-resources" / "kubelet.sock"
        self.checkpoint = directory / "device-plugins" / "kubelet_internal_checkpoint"
        for each in (self.socket, self.checkpoint):
            each.parent.mkdir(parents=True, exist_ok=True)

    def give(
        self, namespace: str, name: str, uid: str, *containers: Mapping[str, Sequence[str]]
    ) -> Pod:
        """Add a pod with the devices of its containers."""
        pod = Pod(namespace, name, uid, containers)
        self.pods.append(pod)
        return pod

    def write_checkpoint(self) -> None:
        """The checkpoint file of all pods, as a kubelet writes it."""
        entries = [
            {
                "PodUID": pod.uid,
                "ContainerName": f"c{index}",
                "ResourceName": resource,
                "DeviceIDs": {"-1": list(ids)},
                "AllocResp": "CgA=",
            }
            for pod in self.pods
            for index, resources in enumerate(pod.containers)
            for resource, ids in resources.items()
        ]
        data: dict[str, Any] = {"PodDeviceEntries": entries or None, "RegisteredDevices": {}}
        self.checkpoint.write_text(json.dumps({"Data": data, "Checksum": 229855270}))

    def __enter__(self) -> Kubelet:
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        served = {"Get": self._get, "List": self._list}
        if self.get == "absent":
            del served["Get"]
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._noted(name, answer))
            for name, answer in served.items()
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _noted(
        self, name: str, answer: Callable[[bytes, grpc.ServicerContext], bytes]
    ) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def handler(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append(name)
            self.before(name, context)
            return answer(request, context)

        return handler

    def _get(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.get == "disabled":
            context.abort(grpc.StatusCode.UNKNOWN, "PodResources API Get method disabled")
        for pod in self.pods:
            if request == encoded(1, pod.name) + encoded(2, pod.namespace):
                return encoded(1, pod_resources(pod))
        context.abort(grpc.StatusCode.NOT_FOUND, "pod not found")
        raise AssertionError("unreachable")

    def _list(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        assert request == b""
        return b"".join(encoded(1, pod_resources(pod)) for pod in self.pods)
