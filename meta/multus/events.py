"""Events of a pod, as `kubectl describe pod` shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.core.types import Json, Result
    from meta.multus.delegates import Delegate
    from meta.multus.pod import Pod

_COMPONENT = "multus"  #: what users look for, whoever wrote it
_LONGEST = 1024  #: bytes of a message that the API server takes


def added(pod: Pod, delegates: Sequence[Delegate], answers: Sequence[Result]) -> list[Json]:
    """One for each interface that has anything to tell."""
    return [
        _event(
            pod,
            "AddedInterface",
            f"Add {delegate.ifname} [{' '.join(ip.address for ip in answer.ips)}]"
            f" from {delegate.label or delegate.network.name}",
            number,
        )
        for number, (delegate, answer) in enumerate(zip(delegates, answers, strict=True))
        if answer.interfaces or answer.ips
    ]


def not_found(pod: Pod, reasons: Sequence[str]) -> list[Json]:
    """One for each network that the pod asks for and that does not exist."""
    return [
        _event(pod, "NoNetworkFound", reason, number, kind="Warning")
        for number, reason in enumerate(reasons)
    ]


def _event(pod: Pod, reason: str, message: str, number: int, kind: str = "Normal") -> Json:
    nanoseconds = time.time_ns()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds // 10**9))
    # as client-go names them: the pod, and what makes it unique
    name = f"{pod.name}.{nanoseconds + number:x}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message.encode()[:_LONGEST].decode(errors="ignore"),
        "source": {"component": _COMPONENT, "host": pod.node},
        "reportingComponent": _COMPONENT,
        "reportingInstance": pod.node,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
