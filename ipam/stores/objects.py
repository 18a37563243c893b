"""Pools and reservations at the API server: one address changes at a time, and only as tested.

Every change says what it found. A server that has something else by now refuses it, and None tells
so: then whoever asked reads again. All methods raise ApiError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code
from cni.kube.client import JSON_PATCH, MERGE_PATCH, Call
from cni.kube.failures import ApiError
from cni.kube.percent import quote
from ipam.stores import pool as shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.core.types import Json
    from cni.kube.client import Client
    from ipam.stores.pool import Allocation, Key, Pool, Reservation


_PAGE = 500  #: objects of a list in one answer


class Change(NamedTuple):
    """One address: what was found there, and what is to be there; None for nothing."""

    address: int
    found: Allocation | None
    wanted: Allocation | None


class Objects:
    """The objects of one namespace."""

    def __init__(self, client: Client, namespace: str, seconds: float = 0) -> None:
        """`seconds` for each request, which is then tried once; 0: as the client is patient."""
        self._client = client
        self._seconds = seconds
        self._path = f"/apis/{shapes.API}/namespaces/{quote(namespace)}"

    def pool(self, key: Key) -> Pool | None:
        document = self._get(self._of("ippools", key.name))
        return None if document is None else shapes.read_pool(key, document)

    def make_pool(self, key: Key) -> Pool | None:
        """None: another was faster."""
        made = self._create("ippools", shapes.new_pool(key))
        return None if made is None else shapes.read_pool(key, made)

    def change(self, key: Key, changes: Sequence[Change]) -> Pool | None:
        """The pool with all changes made, or None and none of them."""
        patch = [operation for each in changes for operation in _operations(key, each)]
        document = self._patch(self._of("ippools", key.name), patch)
        if document is None:
            return None
        changed = shapes.read_pool(key, document)
        for each in changes:
            now = changed.allocations.get(each.address)
            if (now and now.id) != (each.wanted and each.wanted.id):
                said = f"the API server's answer is not the IPPool {key.name} that was asked for"
                raise CniError(Code.TRY_AGAIN_LATER, said)
        return changed

    def note(self, key: Key, change: Json) -> None:
        """Merge into the pool: what is said of a reservation is not tested."""
        self._call(Call("PATCH", self._of("ippools", key.name), change, MERGE_PATCH))

    def reservation(self, name: str) -> Reservation | None:
        document = self._get(self._of("overlappingrangeipreservations", name))
        return None if document is None else shapes.read_reservation(name, document)

    def reservations(self) -> list[tuple[str, Reservation]]:
        """All of the namespace, each with its name."""
        found = self._client.items(f"{self._path}/overlappingrangeipreservations?limit={_PAGE}")[0]
        return [each for each in map(shapes.listed_reservation, found) if each is not None]

    def make_reservation(self, name: str, wanted: Reservation) -> Reservation | None:
        """None: there is one."""
        document = shapes.new_reservation(name, wanted)
        made = self._create("overlappingrangeipreservations", document)
        return None if made is None else shapes.read_reservation(name, made)

    def change_reservation(
        self, name: str, found: Reservation, wanted: Reservation
    ) -> Reservation | None:
        patch: list[Json] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": found.version},
            {"op": "test", "path": "/metadata/uid", "value": found.uid},
            {"op": "replace", "path": "/spec", "value": wanted.document()},
        ]
        changed = self._patch(self._of("overlappingrangeipreservations", name), patch)
        return None if changed is None else shapes.read_reservation(name, changed)

    def drop_reservation(self, name: str, found: Reservation) -> bool:
        """Gone is fine; False: it is another by now."""
        options = {"preconditions": {"uid": found.uid, "resourceVersion": found.version}}
        path = self._of("overlappingrangeipreservations", name)
        try:
            self._call(Call("DELETE", path, options))
        except ApiError as error:
            if _is_conflict(error):
                return False
            if not error.is_absent:
                raise
        return True

    def slices(self, name: str) -> Json | None:
        return self._get(self._of("nodeslicepools", name))

    def pools(self) -> list[Json]:
        return self._client.items(f"{self._path}/ippools")[0]

    def all_slices(self) -> list[Json]:
        """None where slices are not even known."""
        try:
            return self._client.items(f"{self._path}/nodeslicepools")[0]
        except ApiError as error:
            if error.status != 404:
                raise
            return []

    def look(self) -> None:
        """Raises when pools cannot be read: one that is not there says so too."""
        self._get(self._of("ippools", "probe"))

    def _call(self, call: Call) -> Json:
        if not self._seconds:
            return self._client.call(call)
        (answer,) = self._client.once([call], self._seconds)
        if isinstance(answer, CniError):
            raise answer
        return answer

    def _of(self, plural: str, name: str) -> str:
        return f"{self._path}/{plural}/{quote(name)}"

    def _get(self, path: str) -> Json | None:
        try:
            return self._call(Call("GET", path))
        except ApiError as error:
            if not error.is_absent:
                raise
            return None

    def _create(self, plural: str, document: Json) -> Json | None:
        try:
            return self._call(Call("POST", f"{self._path}/{plural}", document))
        except ApiError as error:
            if error.status != 409:
                raise
            return None

    def _patch(self, path: str, patch: list[Json]) -> Json | None:
        try:
            # a JSON patch is a list, which is JSON too
            return self._call(Call("PATCH", path, patch, JSON_PATCH))  # type: ignore[arg-type]
        except ApiError as error:
            if not _is_conflict(error) and not error.is_absent:
                raise
            return None


def _is_conflict(error: ApiError) -> bool:
    """Whether the object is not as tested; what its schema does not allow is invalid for ever."""
    return error.status == 409 or (error.status == 422 and " is invalid: " not in error.reason)


def _operations(key: Key, change: Change) -> list[Json]:
    """As the original writes them, but that they test one address instead of the whole pool."""
    path = key.pointer(change.address)
    if change.found is None:
        test: Json = {"op": "test", "path": path, "value": None}
    else:
        test = {"op": "test", "path": f"{path}/id", "value": change.found.id}
    if change.wanted is None:
        return [test, {"op": "remove", "path": path}]
    return [test, {"op": "add", "path": path, "value": change.wanted.document()}]
