"""A watch: the changes of a collection, one line of JSON each."""

from __future__ import annotations

import json
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from .selectors import selection
from .status import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .resources import Resource
    from .store import Change, Store

Json = dict[str, Any]

_LONGEST = 3600.0  #: seconds, for who names no timeout
_LOOK = 0.2  #: seconds between looks at whether the client is still there


def lines(
    store: Store, target: Resource, query: Mapping[str, str], ended: Callable[[], bool]
) -> Iterator[bytes]:
    """Events until the timeout, or until `ended` says so; an ERROR event is the last one.

    A watch from no version, or from 0, begins with all there is at the call, and goes on from
    there.  Raises Refusal for a request that makes no sense.
    """
    wanted = query.get("resourceVersion") or "0"
    seconds = query.get("timeoutSeconds") or "0"
    if not wanted.isdecimal():
        why = f'strconv.ParseUint: parsing "{wanted}": invalid syntax'
        message = f'resourceVersion: Invalid value: "{wanted}": {why}'
        raise Refusal(500, "", message)  # It is the client's fault, and the real server's answer.
    if not seconds.isdecimal():
        seconds = "0.01"
    if target.name:
        query = {**query, "fieldSelector": f"metadata.name={target.name}"}
    selected = selection(target, query)
    until = time.monotonic() + (float(seconds) or _LONGEST)
    version, begin = int(wanted), list[Json]()
    if not version:
        begin, version = store.items(target)
    first = [_line("ADDED", item) for item in begin if selected(item)]
    return chain(first, _events(store, target, version, selected, until, query, ended))


def _events(
    store: Store,
    target: Resource,
    version: int,
    selected: Callable[[Json], bool],
    until: float,
    query: Mapping[str, str],
    ended: Callable[[], bool],
) -> Iterator[bytes]:
    while (left := until - time.monotonic()) > 0 and not ended():
        try:
            changes = store.changes(version, min(left, _LOOK), ended)
        except Refusal as refusal:
            yield _line("ERROR", refusal.status)
            return
        for change in changes:
            version = change.version
            if change.collection == (target.group, target.plural) and (
                event := _event(change, selected)
            ):
                yield event
    if query.get("allowWatchBookmarks") in ("1", "true") and not ended():
        bookmark = {"kind": target.kind, "apiVersion": target.api_version}
        yield _line("BOOKMARK", bookmark | {"metadata": {"resourceVersion": str(version)}})


def _event(change: Change, selected: Callable[[Json], bool]) -> bytes:
    """What the change is to who selects: an object that leaves the selection is deleted to him."""
    before = change.before is not None and selected(change.before)
    after = change.after is not None and selected(change.after)
    if not before and not after:
        return b""
    if not after and change.before is not None:
        version = {"resourceVersion": str(change.version)}
        gone = change.before | {"metadata": change.before["metadata"] | version}
        return _line("DELETED", gone)
    return _line("MODIFIED" if before else "ADDED", change.item)


def _line(kind: str, item: Any) -> bytes:
    return (json.dumps({"type": kind, "object": item}, separators=(",", ":")) + "\n").encode()
