"""The devices that the kubelet gave to a pod."""

from __future__ import annotations

from cni.core import log
from cni.core.errors import CniError, Code
from cni.kube import checkpoint, pod_resources

_LONGEST_ID = 255  #: bytes


def of_pod(directory: str, namespace: str, name: str, uid: str) -> dict[str, list[str]]:
    """Resource name -> device IDs, in the kubelet's order, flattened over the containers.

    `directory` is the kubelet's (/var/lib/kubelet). Asks the pod-resources socket, and reads the
    checkpoint file when that is of no use. A device that an init container has left to a later
    one counts once. Raises CniError: 11 when neither can be used, 6 for an ID that is no name.
    """
    if not namespace or not name:
        raise CniError(
            Code.INVALID_ENVIRONMENT, "cannot find a pod's devices: no pod name or namespace"
        )
    devices: dict[str, dict[str, None]] = {}
    for resource, ids in _given(directory, namespace, name, uid):
        known = devices.setdefault(resource, {})
        for each in ids:
            if not _is_name(each):
                raise CniError(
                    Code.DECODE_FAILURE,
                    f"pod {namespace}/{name}: the kubelet gave it a device of {resource!r} "
                    f"whose ID cannot be one: {each[:_LONGEST_ID]!r}",
                )
            known[each] = None
    return {resource: list(known) for resource, known in devices.items()}


def _given(directory: str, namespace: str, name: str, uid: str) -> list[tuple[str, list[str]]]:
    try:
        return pod_resources.of_pod(directory, namespace, name)
    except CniError as error:
        silence = error
    log.warning("the kubelet does not say which devices a pod has", error=silence)
    try:
        return checkpoint.of_pod(directory, uid)
    except CniError as error:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"cannot find the devices of pod {namespace}/{name}",
            f"{silence}; {error}",
        ) from None


def _is_name(device: str) -> bool:
    """Whether it is text that can stand in a file name, a log line and a configuration."""
    return device.isprintable() and 0 < len(device.encode()) <= _LONGEST_ID
