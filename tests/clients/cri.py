"""A kubelet's half of the Container Runtime Interface, as far as pod sandboxes go.

The numbers are the field numbers of k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc

from .node import PATIENCE
from .wire import Fields, Message, encode

READY = 0
NODE_NETWORK = 2


@dataclass(frozen=True)
class Pod:
    """What the kubelet tells the runtime of a pod, and the runtime tells the plugins."""

    name: str
    namespace: str = "default"
    uid: str = "11111111-2222-3333-4444-555555555555"
    host_network: bool = False


@dataclass(frozen=True)
class SandboxStatus:
    ready: bool
    ip: str


@dataclass(frozen=True)
class Condition:
    ready: bool
    reason: str
    message: str


class Cri:
    """A client of runtime.v1; a call waits for a runtime that is only starting."""

    def __init__(self, socket: Path, cgroup: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._cgroup = cgroup

    def close(self) -> None:
        self._channel.close()

    def is_initialized(self) -> bool:
        """containerd answers before it has loaded its sandboxes, and says so to every question."""
        try:
            self._call("Status", {})
        except grpc.RpcError as error:
            if "not initialized yet" in str(error):
                return False
            raise
        return True

    def has_image(self, name: str) -> bool:
        answer = self._call("ImageStatus", {1: {1: name}}, service="ImageService")
        return bool(answer.message(1).text(1))

    def run(self, pod: Pod) -> str:
        """Starts a sandbox with its network, and gives its ID."""
        metadata: Message = {1: pod.name, 2: pod.uid, 3: pod.namespace}
        options: Message = {1: NODE_NETWORK} if pod.host_network else {}
        linux: Message = {1: f"/{self._cgroup}", 2: {1: options}}
        config: Message = {1: metadata, 8: linux}
        return self._call("RunPodSandbox", {1: config}).text(1)

    def stop(self, sandbox: str) -> None:
        self._call("StopPodSandbox", {1: sandbox})

    def remove(self, sandbox: str) -> None:
        self._call("RemovePodSandbox", {1: sandbox})

    def status(self, sandbox: str) -> SandboxStatus:
        status = self._call("PodSandboxStatus", {1: sandbox}).message(1)
        return SandboxStatus(ready=status.number(3) == READY, ip=status.message(5).text(1))

    def conditions(self) -> dict[str, Condition]:
        """What the runtime says of itself: RuntimeReady and NetworkReady."""
        status = self._call("Status", {}).message(1)
        return {
            condition.text(1): Condition(
                ready=bool(condition.number(2)),
                reason=condition.text(3),
                message=condition.text(4),
            )
            for condition in status.messages(1)
        }

    def _call(self, method: str, request: Message, service: str = "RuntimeService") -> Fields:
        call = self._channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=encode,
            response_deserializer=Fields,
        )
        answer: Fields = call(request, timeout=PATIENCE, wait_for_ready=True)
        return answer
