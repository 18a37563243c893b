"""A node full of pods: 110 of them (the kubelet's limit) unless PLAIT_PODS says another number."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from tests.conformance.networks import whereabouts

if TYPE_CHECKING:
    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

PODS = int(os.environ.get("PLAIT_PODS") or 110)
AT_ONCE = 8

CONF: Json = {
    "cniVersion": "1.0.0",
    "name": "full",
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "macspoofchk": True,
    "ipam": whereabouts("10.9.0.0/16"),
}


def test_a_node_full_of_pods(node: Node) -> None:
    pods = [node.pod() for _ in range(PODS)]
    before = node.traces()

    def add(pod: Pod) -> Json:
        return node.call("ADD", CONF, pod).result()

    def check(pod: Pod, result: Json) -> None:
        node.call("CHECK", {**CONF, "prevResult": result}, pod).silent()

    def delete(pod: Pod) -> None:
        node.call("DEL", CONF, pod).silent()

    # threads are in the namespace of the one that makes them
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(add, pods))
        addresses = [result["ips"][0]["address"] for result in results]
        assert len(set(addresses)) == PODS
        # the lowest of the range, without a gap
        host = ip_network("10.9.0.0/16").network_address
        assert {ip_interface(each).ip for each in addresses} == {
            host + offset for offset in range(2, PODS + 2)
        }
        for pod, address in zip(pods, addresses, strict=True):
            assert pod.net.addresses("eth0") == [address]
        assert len(node.net.ip("link", "show", "master", "br0")) == PODS
        list(pool.map(check, pods, results))

        # a burst of both: the first half leaves while as many come
        late = [node.pod("late") for _ in range(PODS // 2)]
        leaving = [pool.submit(delete, pod) for pod in pods[: PODS // 2]]
        coming = [pool.submit(add, pod) for pod in late]
        for each in leaving:
            each.result()
        came = [each.result()["ips"][0]["address"] for each in coming]
        assert len({*came, *addresses[PODS // 2 :]}) == PODS

        list(pool.map(delete, [*pods[PODS // 2 :], *late]))
    assert node.traces() == before
    for pod in (*pods, *late):
        assert list(pod.net.links()) == ["lo"]
