"""What a container has, from whatever is left: its record, libcni's cache, the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import log
from cni.core.errors import CniError
from meta.multus import choice, results, scratch, subject
from meta.multus import delegates as delegating

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Request
    from meta.conf import Multus
    from meta.multus.delegates import Delegate
    from meta.multus.scratch import Home, Record


def find(
    home: Home, container_id: str, ifname: str, wanted: Iterable[Delegate] | None = None
) -> Record | None:
    """The attachment's record, completed from the cache; None when neither knows it.

    With `wanted` only these are sought in the cache where there is no record: a node's cache may
    have a hundred thousand files.
    """
    record = scratch.find(home, container_id, ifname)
    if record is not None and not record.is_damaged and record.netns:
        return record
    if record is None and wanted is not None:
        entries = list(results.entries_of(home.cni_dir, container_id, wanted))
    else:
        entries = list(results.entries(home.cni_dir, container_id))
    cached = [each for each in entries if each.parent in ("", ifname)]
    cached.sort(key=lambda each: _place(each, ifname))
    if record is not None and not record.delegates and entries and not cached:
        return None  # torn, and of another attachment
    if record is None:
        if not cached:
            return None
        record = scratch.new(home, container_id, ifname, ())
        _add(record, (each.delegate for each in cached))
    elif record.is_damaged:
        _add(record, (each.delegate for each in cached))
    else:
        _complete(record, cached)
    record.netns = record.netns or next((each.netns for each in cached if each.netns), "")
    return record


def taken(home: Home, container_id: str) -> set[str] | None:
    """The interfaces that the container's attachments have; None when that is not known."""
    records = scratch.of_container(home, container_id)
    parents = {each.parent for each in records}
    if any(each.is_damaged for each in records) or any(
        each.parent not in parents for each in results.entries(home.cni_dir, container_id)
    ):
        return None
    return {each.ifname for record in records for each in record.delegates}


def add_configured(record: Record, conf: Multus, req: Request) -> None:
    """Add what would be attached now at interfaces that the record does not know."""
    known = {each.ifname for each in record.delegates}
    _add(record, (each for each in configured(conf, req) if each.ifname not in known))


def configured(conf: Multus, req: Request) -> list[Delegate]:
    """What would be attached now, as far as configuration and API server tell."""
    try:
        return delegating.assemble(choice.choose_leniently(subject.leniently(conf, req)), req)
    except CniError as error:
        log.warning("the configuration names no delegates", reason=error)
        return []


def every(home: Home) -> list[Record]:
    """All attachments that left a record or a cache entry; of the cache alone none is whole."""
    found = {(record.container_id, record.parent): record for record in scratch.every(home)}
    recorded = set(found)
    containers = {container_id for container_id, _ in recorded}
    for each in results.entries(home.cni_dir):
        key = (each.container_id, each.parent)
        if key in recorded or (not each.parent and each.container_id in containers):
            continue
        if key not in found:
            found[key] = scratch.new(home, each.container_id, each.parent, ())
        record = found[key]
        record.network = each.owner
        record.netns = each.netns
        record.is_damaged = True  # the cache is not durable: it may lack a delegate
        _add(record, [each.delegate])
    return list(found.values())


def _place(each: results.Cached, master: str) -> tuple[int, int, str]:
    """The order of the ADD; without a position the names tell it: eth0, net1, ... net10."""
    name = each.delegate.ifname
    if each.position is not None:
        return each.position, 0, name
    return (0, 0, name) if name == master else (1, len(name), name)


def _add(record: Record, more: Iterable[Delegate]) -> None:
    known = {(each.network.name, each.ifname) for each in record.delegates}
    for each in more:
        if (each.network.name, each.ifname) not in known:
            record.pending.add(len(record.delegates))
            record.delegates.append(each)


def _complete(record: Record, cached: list[results.Cached]) -> None:
    """The original's record lacks the arguments, its cache has them."""
    by_name = {(each.delegate.network.name, each.delegate.ifname): each for each in cached}
    for index, each in enumerate(record.delegates):
        known = by_name.get((each.network.name, each.ifname))
        if known is not None and not each.args:
            record.delegates[index] = each._replace(
                args=known.delegate.args, runtime_config=known.delegate.runtime_config
            )
