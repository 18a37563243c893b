"""A node of the original, as far as pools can tell: its requests, its tests, its order.

It tests the version of the whole pool, looks at reservations by pod alone, and gives up on nothing
but a conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cni.kube.client import JSON_PATCH, Call
from cni.kube.failures import ApiError

if TYPE_CHECKING:
    from cni.kube.client import Client

_TRIES = 1000


class GoWriter:
    """It leases from 10.0.0.0/24 alone, of which `last` is the last address that it gives."""

    name = "10.0.0.0-24"

    def __init__(self, client: Client, root: str, last: int = 254) -> None:
        """`root` is the path of the namespace's objects."""
        self._client = client
        self._pools = f"{root}/ippools"
        self._reservations = f"{root}/overlappingrangeipreservations"
        self._last = last

    def add(self, container: str, podref: str, ifname: str = "eth0") -> str:
        """The address; empty when there is none."""
        denied: set[int] = set()
        for _ in range(_TRIES):
            pool = self._pool()
            taken = pool["spec"]["allocations"]
            free = [n for n in range(1, self._last + 1) if str(n) not in taken and n not in denied]
            if not free:
                return ""
            address = f"10.0.0.{free[0]}"
            reservation = self._get(f"{self._reservations}/{address}")
            if reservation and reservation["spec"]["podref"] != podref:
                denied.add(free[0])
                continue
            key = f"/spec/allocations/{free[0]}"
            entry = {"id": container, "ifname": ifname, "podref": podref}
            if not self._patch(pool, [
                {"op": "test", "path": key, "value": None},
                {"op": "add", "path": key, "value": entry},
            ]):  # fmt: skip
                continue
            if reservation or self._reserve(address, podref, ifname):
                return address
            # the original would keep the entry, and try the same address for ever
            assert self.delete(container, ifname)
            denied.add(free[0])
        raise AssertionError("it was never the fastest")

    def delete(self, container: str, ifname: str = "eth0") -> bool:
        for _ in range(_TRIES):
            pool = self._pool()
            mine = [
                (key, each["podref"])
                for key, each in pool["spec"]["allocations"].items()
                if (each["id"], each.get("ifname")) == (container, ifname)
            ]
            if not mine:
                return False
            key, podref = mine[0]
            if self._patch(pool, [{"op": "remove", "path": f"/spec/allocations/{key}"}]):
                self._unreserve(f"10.0.0.{key}", podref)
                return True
        raise AssertionError("it was never the fastest")

    def _pool(self) -> Any:
        found = self._get(f"{self._pools}/{self.name}")
        if found is not None:
            return found
        self._create(self._pools, "IPPool", self.name, {"range": "10.0.0.0/24", "allocations": {}})
        return self._get(f"{self._pools}/{self.name}")

    def _patch(self, pool: Any, operations: list[Any]) -> bool:
        version = pool["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        body: Any = [test, *operations]
        return self._done(Call("PATCH", f"{self._pools}/{self.name}", body, JSON_PATCH))

    def _reserve(self, address: str, podref: str, ifname: str) -> bool:
        spec = {"podref": podref, "ifname": ifname}
        return self._create(self._reservations, "OverlappingRangeIPReservation", address, spec)

    def _unreserve(self, address: str, podref: str) -> None:
        found = self._get(f"{self._reservations}/{address}")
        if found is not None and found["spec"]["podref"] == podref:
            self._done(Call("DELETE", f"{self._reservations}/{address}"))

    def _create(self, path: str, kind: str, name: str, spec: Any) -> bool:
        api = "whereabouts.cni.cncf.io/v1alpha1"
        document = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self._done(Call("POST", path, document))

    def _get(self, path: str) -> Any:
        try:
            return self._client.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def _done(self, call: Call) -> bool:
        try:
            self._client.call(call)
        except ApiError as error:
            if error.status not in (404, 409, 422):
                raise
            return False
        return True
