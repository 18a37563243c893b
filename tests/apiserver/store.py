"""Objects with one rising version for all of them, and the history that watches read."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import TYPE_CHECKING, Any, NamedTuple

from . import metadata, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from .resources import Resource

Json = dict[str, Any]

_FIRST = 1000  #: a server that has just started has objects of its own
_HISTORY = 100_000  #: changes that are kept
_PAGES = 16  #: limited lists that can still be continued


class Change(NamedTuple):
    """What happened at a version; `before` is missing for a new object, `after` for a deleted one.

    `item` is what a watch shows: a deleted object has the version of its deletion.
    """

    version: int
    collection: tuple[str, str]
    before: Json | None
    after: Json | None
    item: Json


class Store:
    """Objects are never changed in place: what was given out stays as it was."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._collections: dict[tuple[str, str], dict[tuple[str, str], Json]] = {}
        self._history: deque[Change] = deque()
        self._compacted = 0  #: the version of the last change that is forgotten
        self._pages: dict[int, list[Json]] = {}
        self.version = _FIRST

    def get(self, target: Resource) -> Json:
        with self._changed:
            found = self._find(target)
        if found is None:
            raise status.not_found(target)
        return found

    def items(self, target: Resource) -> tuple[list[Json], int]:
        """A collection in the order of its keys, of all namespaces, and its version."""
        with self._changed:
            return self._sorted(target), self.version

    def page(self, target: Resource, version: int) -> list[Json]:
        """The collection as the first page of a list has seen it; Refusal 410 when forgotten."""
        with self._changed:
            if version not in self._pages:
                raise status.expired(
                    "The provided continue parameter is too old to display a consistent list "
                    "result. You can start a new list without the continue parameter."
                )
            return self._pages[version]

    def keep_page(self, version: int, items: list[Json]) -> None:
        with self._changed:
            self._pages[version] = items
            while len(self._pages) > _PAGES:
                del self._pages[next(iter(self._pages))]

    def create(self, target: Resource, given: Json) -> Json:
        target, created = metadata.for_creation(target, given)
        with self._changed:
            if self._find(target) is not None:
                raise status.already_exists(target)
            return self._store(target, None, created)

    def update(self, target: Resource, change: Callable[[Json], Json]) -> Json:
        """Replace an object by what `change` makes of it; without a change it keeps its version."""
        with self._changed:
            stored = self._find(target)
            if stored is None:
                raise status.not_found(target)
            updated = metadata.for_update(target, stored, change(stored))
            return stored if updated == stored else self._store(target, stored, updated)

    def delete(self, target: Resource, preconditions: Json) -> Json:
        """Take an object away, and give it as it was."""
        with self._changed:
            stored = self._find(target)
            if stored is None:
                raise status.not_found(target)
            for key, field, might in (
                ("uid", "UID", "deleted and then recreated"),
                ("resourceVersion", "ResourceVersion", "modified"),
            ):
                wanted, found = preconditions.get(key), stored["metadata"][key]
                if wanted is not None and wanted != found:
                    raise status.delete_precondition_failed(target, field, wanted, found, might)
            self._store(target, stored, None)
            return stored

    def put(self, target: Resource, given: Json) -> Json:
        """Store an object whatever was there, as a test wants it; no version is compared."""
        with self._changed:
            stored = self._find(target)
            kept = {"uid": stored["metadata"]["uid"]} if stored else {}
            place = {"namespace": target.namespace} if target.namespace else {}
            described: Json = kept | given.get("metadata", {}) | place | {"name": target.name}
            described.pop("resourceVersion", None)
            whole: Json = {"apiVersion": target.api_version, "kind": target.kind} | given
            _, created = metadata.for_creation(target, whole | {"metadata": described})
            return self._store(target, stored, created)

    def changes(self, after: int, timeout: float, ended: Callable[[], bool]) -> list[Change]:
        """What happened after a version, as soon as there is anything; [] after `timeout` seconds.

        Raises Refusal 410 when part of it is forgotten.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.version > after or ended(), timeout)
            if after < self._compacted:
                raise status.expired(f"too old resource version: {after} ({self._compacted})")
            found: list[Change] = []
            for change in reversed(self._history):
                if change.version <= after:
                    break
                found.append(change)
            return found[::-1]

    def compact(self) -> None:
        """Forget the history: a watch from an earlier version is told 410 Gone."""
        with self._changed:
            self._history.clear()
            self._pages.clear()
            self._compacted = self.version

    def wake(self) -> None:
        """Let those who wait for changes see whether they have ended."""
        with self._changed:
            self._changed.notify_all()

    def _find(self, target: Resource) -> Json | None:
        collection = self._collections.get((target.group, target.plural), {})
        return collection.get((target.namespace, target.name))

    def _sorted(self, target: Resource) -> list[Json]:
        collection = self._collections.get((target.group, target.plural), {})
        return [collection[key] for key in sorted(collection)]

    def _store(self, target: Resource, before: Json | None, after: Json | None) -> Json:
        self.version += 1
        key, name = (target.group, target.plural), (target.namespace, target.name)
        item = after if after is not None else before
        assert item is not None
        item = item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}}
        if after is None:
            del self._collections[key][name]
        else:
            self._collections.setdefault(key, {})[name] = after = item
        if len(self._history) == _HISTORY:
            self._compacted = self._history.popleft().version
        self._history.append(Change(self.version, key, before, after, item))
        self._changed.notify_all()
        return item
