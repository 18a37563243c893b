"""A pod's devices (SR-IOV VFs and their like): each network of a resource gets one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni.core.types import Json
    from meta.multus.choice import Choice
    from meta.multus.network import Network

#: resource name -> device IDs, in the kubelet's order
Devices = dict[str, list[str]]


def assign(choices: Iterable[Choice], of_pod: Callable[[], Devices]) -> list[Choice]:
    """The networks with a device each where they name a resource; `of_pod` asks the kubelet, once.

    Raises CniError 7 for a resource of which the pod has no device left, and what `of_pod` raises.
    """
    assigned = []
    devices: Devices | None = None
    taken: dict[str, int] = {}
    for each in choices:
        if each.resource:
            if devices is None:
                devices = of_pod()
            index = taken.get(each.resource, 0)
            taken[each.resource] = index + 1
            each = _with_device(each, devices.get(each.resource, []), index)
        assigned.append(each)
    return assigned


def _with_device(choice: Choice, ids: list[str], index: int) -> Choice:
    if index >= len(ids):
        raise invalid(
            f'network {choice.label}: resource "{choice.resource}": the pod has'
            + (f" {len(ids)} of it, and this network would need another" if ids else " none of it"),
            "is it among the requests of a container?",
        )
    device = ids[index]
    return choice._replace(device=device, network=_injected(choice.network, device))


def _injected(network: Network, device: str) -> Network:
    """Under both keys in every plugin: of which type it is, the plugin knows."""

    def inject(plugin: Json) -> Json:
        return {**plugin, "deviceID": device, "pciBusID": device}

    return network.mapped(inject)
