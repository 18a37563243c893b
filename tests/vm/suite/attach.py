"""Attachments of VFs: their configurations, and what a test sees of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Vf

MAC = "60:00:00:00:00:e1"  #: for a pod to ask for


def sriov(vf: Vf, *, version: str = "1.0.0", **keys: Any) -> Conf:
    conf = {"cniVersion": version, "name": "net", "type": "sriov", "deviceID": vf.address}
    return conf | keys


@contextmanager
def attached(
    machine: Node, conf: Conf, pod: Pod, ifname: str = "net1", **extra: str
) -> Iterator[Any]:
    """The VF in the pod while the body runs; yields the ADD's result."""
    result = machine.call("ADD", conf, pod, ifname, **extra).ok()
    try:
        yield result
    finally:
        machine.call("DEL", conf, pod, ifname, **extra).ok()


def sent_settings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, Any]]:
    """A list that grows with each setting that is sent to a PF: VF, name, value."""
    from cni.host import vf

    sent: list[tuple[int, str, Any]] = []
    put = vf.put

    def counting(nl: Any, pf: Any, index: int, name: str, value: Any) -> None:
        sent.append((index, name, value))
        put(nl, pf, index, name, value)

    monkeypatch.setattr(vf, "put", counting)
    return sent
