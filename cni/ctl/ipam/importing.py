"""Takes leases of other stores over into the file store: all of them, or none."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code, describe, invalid
from cni.core.names import is_identifier
from cni.core.types import Attachment
from cni.ctl.ipam import cached
from cni.ctl.ipam.database import opened
from cni.ctl.leases.source import Pool, database
from cni.store.lock import locked
from ipam.addresses import parse_ip
from ipam.host_local import lease_files
from ipam.ranges import text
from ipam.stores import Ask, Owner, schema
from ipam.stores.boot import boot_id
from ipam.stores.file import FileStore
from ipam.stores.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cni.ctl.leases.selection import Found
    from ipam.stores import Hold, Lease

_TOLD = 5  #: conflicts that are named


class Taken(NamedTuple):
    """An address that is to be leased to an owner."""

    owner: Owner
    pool: Pool
    address: int


class Imported(NamedTuple):
    """Numbers of leases and of holds; `known` were there already."""

    leases: int
    holds: int
    known: int


def from_host_local(
    directory: str,
    network: str,
    pools: Sequence[Pool],
    state_dir: str,
    *,
    node: str = "",
    ifname: str = "eth0",
) -> list[Taken]:
    """The leases in host-local's files; `ifname` is for old ones which name none.

    Raises CniError 5 for files that cannot be read, 7 for what cannot be a lease of the pools.
    """
    path = os.path.join(directory, network)
    path = path if os.path.isdir(path) else directory
    lock = os.path.join(path, "lock")
    found = []
    try:
        with locked(lock) if os.path.exists(lock) else nullcontext():
            for name in sorted(os.listdir(path)):
                try:
                    ip = parse_ip(name)
                except ValueError:
                    continue
                said = lease_files.read(path, name)
                if not said:  # a crash has left it, nobody has the address
                    continue
                attachment = _attachment(os.path.join(path, name), network, said, ifname)
                owner = cached.owner(state_dir, attachment, node)
                found.append(Taken(owner, _pool(pools, ip.version, int(ip)), int(ip)))
    except OSError as error:
        raise describe(error) from None
    return found


def from_store(found: Found, network: str, pools: Sequence[Pool]) -> list[Taken]:
    """The leases of another store; `network` is for those whose network it does not know."""
    return [
        Taken(
            Owner(
                each.attachment._replace(network=each.attachment.network or network),
                *(each.pod_namespace, each.pod_name, each.pod_uid, each.node, each.netns),
            ),
            next(p for p in pools if (p.network_name, p.range.cidr) == _place(each)),
            each.address,
        )
        for each in found.leases
    ]


def take_over(
    state_dir: str, leases: Sequence[Taken], holds: Sequence[Hold] = (), *, dry_run: bool = False
) -> Imported:
    """Lease and hold all of it in one transaction, which a dry run undoes.

    Raises CniError 100 naming what is another's; then nothing has changed.
    """
    with _ledger(state_dir, may_change=not dry_run) as ledger:
        conflicts, known = [], 0
        for each in leases:
            ask = Ask(each.pool.range, each.pool.network_name, wanted=each.address)
            held = ledger.leases(each.owner.attachment)
            if any((h.network_name, h.cidr, h.address) == _wanted(each) for h in held):
                known += 1
                continue
            try:
                ledger.take(each.owner, ask, slot=len(held))
            except CniError as error:
                conflicts.append(str(error))
        for hold in holds:
            try:
                ledger.reserve(hold)
            except CniError as error:
                conflicts.append(str(error))
        if conflicts:
            more = f" / {len(conflicts) - _TOLD} more" if len(conflicts) > _TOLD else ""
            raise CniError(
                Code.RANGE_EXHAUSTED,
                f"{len(conflicts)} addresses are in conflict, nothing was imported",
                " / ".join(conflicts[:_TOLD]) + more,
            )
    return Imported(len(leases) - known, len(holds), known)


@contextmanager
def _ledger(state_dir: str, *, may_change: bool) -> Iterator[Ledger]:
    """A rehearsal makes no files."""
    if may_change:
        FileStore(state_dir).probe()  # makes the database
    elif not os.path.exists(database(state_dir)):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.executescript(schema.CREATE)
            yield Ledger(connection, boot_id())
        return
    with opened(state_dir, "import leases", may_change=may_change) as connection:
        yield Ledger(connection, boot_id())


def _place(lease: Lease) -> tuple[str, str]:
    return lease.network_name, lease.cidr


def _wanted(each: Taken) -> tuple[str, str, int]:
    return each.pool.network_name, each.pool.range.cidr, each.address


def _attachment(path: str, network: str, said: bytes, ifname: str) -> Attachment:
    container_id, _, name = said.decode(errors="replace").partition("\r\n")
    container_id, name = container_id.strip(), name.strip() or ifname
    if not is_identifier(container_id):
        raise invalid(f"{path} names no container", repr(container_id))
    return Attachment(network, container_id, name)


def _pool(pools: Sequence[Pool], version: int, address: int) -> Pool:
    for each in pools:
        if each.range.in_network(version, address):
            return each
    raise invalid(
        f"which range is {text(version, address)} of? Name it with --range",
        ", ".join(each.range.cidr for each in pools) or "there is none",
    )
