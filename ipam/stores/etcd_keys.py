"""What the etcd store keeps under which key.

    <prefix>format                                the version of all this
    <prefix>fence/<node>                          see EtcdStore
    <prefix>ip/<name>/<4|6>/<address>             what each pool of a network_name has there
    <prefix>attachment/<network>/<container>/<ifname>   the addresses that it holds
    <prefix>pool/<name>/<cidr>/<address>          index of ip/: what a pool has
    <prefix>holder/<name>/<cidr>/<holder>/<address>     index: what is leased to, or kept for, a pod
    <prefix>full/<name>/<4|6>/<block>             mark: nothing is free in a block (etcd_search)
    <prefix>until/<name>/<4|6>/<seconds>/<address>      index: what is kept for a time

Values are JSON, those of an index empty. Numbers are hexadecimal and as long as they can be, so
that keys sort as addresses do; names are percent-encoded. An index follows from the value that it
points to, and both change in one transaction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from cni.kube.percent import quote, unquote
from ipam.ranges import size
from ipam.stores import Hold, Lease, Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "1"
BLOCK = 32  #: addresses; the number of a block is that of its first address, divided by this


class Spot(NamedTuple):
    """An address of a network_name, whatever its pools."""

    network_name: str
    version: int
    address: int


class Taken(NamedTuple):
    """A lease, and what is to become of its address."""

    lease: Lease
    cooldown: int
    sticky: int


class Slot(NamedTuple):
    """One address of an attachment; `slot` is the index of the ask that it answers."""

    slot: int
    spot: Spot
    cidr: str


Record = Taken | Hold
Records = dict[str, Record]  #: by the CIDR of the pool


class Keys:
    """The keys below a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.format = f"{prefix}format"
        self.places = f"{prefix}ip/"

    def fence(self, node: str) -> str:
        return f"{self.prefix}fence/{_word(node)}"

    def place(self, spot: Spot) -> str:
        return self.all_pools(spot.network_name, spot.version) + number(spot.version, spot.address)

    def all_pools(self, network_name: str, version: int) -> str:
        """Before an address: what is taken by any pool of the network_name."""
        return f"{self.places}{_word(network_name)}/{version}/"

    def full(self, network_name: str, version: int) -> str:
        """Before a block: that none of its addresses is free."""
        return f"{self.prefix}full/{_word(network_name)}/{version}/"

    def mark(self, spot: Spot) -> str:
        """The mark of the block in which an address is."""
        block = number(spot.version, spot.address // BLOCK)
        return self.full(spot.network_name, spot.version) + block

    def pool(self, network_name: str, cidr: str) -> str:
        """Before an address: what is taken by this pool."""
        return f"{self.prefix}pool/{_word(network_name)}/{_word(cidr)}/"

    def holder(self, network_name: str, cidr: str, holder: str) -> str:
        """Before an address."""
        return f"{self.prefix}holder/{_word(network_name)}/{_word(cidr)}/{_word(holder)}/"

    def until(self, network_name: str, version: int, seconds: int | None = None) -> str:
        """Before an address; before the seconds when they are not given."""
        start = f"{self.prefix}until/{_word(network_name)}/{version}/"
        return start if seconds is None else f"{start}{seconds:016x}/"

    def attachment(self, attachment: Attachment) -> str:
        return f"{self.prefix}attachment/{'/'.join(map(_word, attachment))}"

    def indexes(self, spot: Spot, records: Mapping[str, Record]) -> set[str]:
        """The keys of the indexes that point to what is at an address."""
        at = number(spot.version, spot.address)
        found = set()
        for cidr, record in records.items():
            found.add(self.pool(spot.network_name, cidr) + at)
            if isinstance(record, Hold):
                found.add(self.holder(spot.network_name, cidr, record.holder) + at)
                if record.until:
                    found.add(self.until(spot.network_name, spot.version, record.until) + at)
            elif record.lease.pod_name:
                found.add(self.holder(spot.network_name, cidr, holder(record.lease)) + at)
        return found


def number(version: int, address: int) -> str:
    """The address as the end of a key."""
    return f"{address:0{2 * size(version)}x}"


def holder(lease: Lease) -> str:
    """See Owner.holder."""
    return Owner(lease.attachment, lease.pod_namespace, lease.pod_name).holder


def address_of(key: str) -> int:
    """The address at the end of a key. Raises CniError 5 for one that is not ours."""
    try:
        return int(key.rpartition("/")[2], 16)
    except ValueError:
        raise _strange(key) from None


def spot_of(key: str, prefix: str) -> Spot:
    """What `Keys.place` made this key of; `prefix` is Keys.places. Raises CniError 5."""
    try:
        name, version, address = key.removeprefix(prefix).split("/")
        return Spot(unquote(name, errors="surrogateescape"), int(version), int(address, 16))
    except ValueError:
        raise _strange(key) from None


def encode_records(records: Mapping[str, Record]) -> bytes:
    return _json({cidr: _record_json(record) for cidr, record in records.items()})


def decode_records(key: str, value: bytes, spot: Spot) -> Records:
    """Raises CniError 5 for what we have not written."""
    try:
        found = json.loads(value)
        return {cidr: _record(spot, cidr, each) for cidr, each in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _strange(key) from None


def encode_slots(slots: list[Slot]) -> bytes:
    return _json([_slot_json(*each) for each in sorted(slots)])


def decode_slots(key: str, value: bytes) -> list[Slot]:
    """Raises CniError 5 for what we have not written."""
    try:
        return [
            Slot(int(slot), Spot(str(name), int(version), int(address, 16)), str(cidr))
            for slot, name, cidr, version, address in json.loads(value)
        ]
    except (ValueError, TypeError, RecursionError):
        raise _strange(key) from None


def _slot_json(slot: int, spot: Spot, cidr: str) -> list[Any]:
    return [slot, spot.network_name, cidr, spot.version, number(spot.version, spot.address)]


def _record_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Hold):
        return {
            "kind": record.kind,
            "holder": record.holder,
            "ifname": record.ifname,
            "until": record.until,
        }
    lease = record.lease
    return {
        **lease.attachment._asdict(),
        "pod_namespace": lease.pod_namespace,
        "pod_name": lease.pod_name,
        "pod_uid": lease.pod_uid,
        "node": lease.node,
        "netns": lease.netns,
        "created": lease.created,
        "cooldown": record.cooldown,
        "sticky": record.sticky,
    }


def _record(spot: Spot, cidr: str, found: dict[str, Any]) -> Record:
    def text(key: str) -> str:
        return str(found[key])

    place = (spot.network_name, cidr, spot.version, spot.address)
    if "kind" in found:
        return Hold(*place, text("kind"), text("holder"), text("ifname"), int(found["until"]))
    lease = Lease(
        Attachment(text("network"), text("container_id"), text("ifname")),
        *place,
        text("pod_namespace"),
        text("pod_name"),
        text("pod_uid"),
        text("node"),
        text("netns"),
        int(found["created"]),
    )
    return Taken(lease, int(found["cooldown"]), int(found["sticky"]))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _word(text: str) -> str:
    return quote(text, errors="surrogateescape")


def _strange(key: str) -> CniError:
    return CniError(Code.IO_FAILURE, f"etcd key {key}: what is there was not written by plait")
