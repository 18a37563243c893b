"""The kubelet's pod-resources socket: which devices a pod has, by its name.

Service v1.PodResourcesLister of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto.
"""

from __future__ import annotations

import os

from cni.core.errors import CniError, Code
from cni.kube import grpc, protobuf

_SERVICE = "/v1.PodResourcesLister"
_SECONDS = 10.0  #: for everything that is asked
#: Get is switched off before Kubernetes 1.34 (unknown), is not there before 1.27 (unimplemented),
#: or does not know the pod (not found, or unknown again): List has the last word
_ASK_LIST = {2, 5, 12}


def of_pod(directory: str, namespace: str, name: str) -> list[tuple[str, list[str]]]:
    """(resource, device IDs) as the kubelet lists them, container by container; none is [].

    Raises CniError when the kubelet does not say.
    """
    path = os.path.join(directory, "pod-resources", "kubelet.sock")
    try:
        with grpc.connect(path, _SECONDS) as kubelet:
            answer = _ask(kubelet, namespace, name)
        return _devices(answer, namespace, name)
    except (OSError, grpc.StatusError, protobuf.MalformedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CniError(
            Code.TRY_AGAIN_LATER, f"cannot ask the kubelet at {path}: {reason}"
        ) from None


def _ask(kubelet: grpc.Channel, namespace: str, name: str) -> bytes:
    """A GetPodResourcesResponse or a ListPodResourcesResponse: field 1 holds the pods of both."""
    names = [each.encode(errors="replace") for each in (name, namespace)]
    request = b"".join(protobuf.field(number, each) for number, each in enumerate(names, 1))
    try:
        return kubelet.call(f"{_SERVICE}/Get", request)
    except grpc.StatusError as error:
        if error.status not in _ASK_LIST:
            raise
    return kubelet.call(f"{_SERVICE}/List", b"")


def _devices(answer: bytes, namespace: str, name: str) -> list[tuple[str, list[str]]]:
    pods = [
        pod
        for pod in protobuf.messages(answer, 1)
        if (protobuf.text(pod, 1), protobuf.text(pod, 2)) == (name, namespace)
    ]
    if len(pods) > 1:  # the one before, which still ends: only its UID tells it apart
        raise protobuf.MalformedError(f"{len(pods)} pods of that name")
    return [
        (protobuf.text(devices, 1), protobuf.texts(devices, 2))
        for pod in pods
        for container in protobuf.messages(pod, 3)
        for devices in protobuf.messages(container, 2)
    ]
