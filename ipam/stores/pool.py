"""whereabouts' objects in the cluster: how they are called, and what is in them.

An IPPool has an allocation for each address that is not free, by its offset from the network's own
address. An OverlappingRangeIPReservation, here a reservation, says of one address that a pool has
it, so that overlapping pools do not hand it out twice. A NodeSlicePool gives each node a part of a
range, which then has a pool of its own. Nothing is asked or written here.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, Code, invalid
from cni.kube.percent import quote, unquote
from ipam.ranges import Range, text, window
from ipam.stores import RESERVED, Hold

if TYPE_CHECKING:
    from cni.core.types import Json
    from ipam.stores import Owner

API = "whereabouts.cni.cncf.io/v1alpha1"
_MOST = 2**63 - 1  #: the largest offset that the original can read
_DIGITS = 19  #: of such a number

#: annotations of a pool, one for each reserved address: "reserved.plait/<offset>" to the hold's id
_RESERVED = "reserved.plait/"


class Key(NamedTuple):
    """Which pool: its name, and the network that its offsets count from."""

    name: str
    network_name: str
    cidr: str
    version: int
    base: int

    def offset(self, address: int) -> str:
        return str(address - self.base)

    def pointer(self, address: int) -> str:
        """Of the address's allocation, for a JSON patch."""
        return f"/spec/allocations/{address - self.base}"


class Allocation(NamedTuple):
    """What is written about one address. `podref` is "namespace/name"; empty: no pod."""

    id: str  #: container ID, or a hold's text
    podref: str
    ifname: str

    def document(self) -> Json:
        return self._asdict()

    def is_of(self, container_id: str, ifname: str) -> bool:
        return (self.id, self.ifname) == (container_id, ifname)


class Pool(NamedTuple):
    """An IPPool as the server has told it; addresses in place of offsets."""

    key: Key
    allocations: dict[int, Allocation]
    reserved: dict[int, str]  #: the holds' ids of what is reserved, leased or not

    def hold(self, address: int) -> Hold | None:
        """What holds the address while nobody leases it."""
        found = self.allocations.get(address)
        if found is None and address in self.reserved:
            found = Allocation(self.reserved[address], "", "")
        return None if found is None else hold_of(self.key, address, found)

    def holds(self) -> list[Hold]:
        addresses = sorted({*self.allocations, *self.reserved})
        found = [self.hold(each) for each in addresses]
        return [each for each in found if each is not None]


class Reservation(NamedTuple):
    """An OverlappingRangeIPReservation. `containerid` is ours: the original leaves it empty."""

    podref: str
    ifname: str
    containerid: str
    uid: str
    version: str  #: resourceVersion

    def document(self) -> Json:
        return {"podref": self.podref, "ifname": self.ifname, "containerid": self.containerid}


def podref(owner: Owner) -> str:
    """Empty for a container of no pod: the original frees what is of no living pod."""
    return owner.holder if owner.pod_namespace and owner.pod_name else ""


def key(network_name: str, wanted: Range, node: str = "") -> Key:
    """The pool of a range, or of a node's slice.

    Raises CniError 7 for one that the original could not share.
    """
    about = f"range {wanted.cidr} cannot be shared in a cluster"
    if wanted.version == 6 and wanted.prefix_len < 64:
        raise invalid(about, "a pool's IPv6 network must be /64 or smaller")
    parts = [each for each in (network_name, node) if each]
    name = "-".join([*parts, _in_name(wanted.cidr)])
    if name.startswith("-"):
        raise invalid(about, "its pool's name would begin with '-': set network_name")
    return Key(name, network_name, wanted.cidr, wanted.version, wanted.base)


def readable(wanted: Range) -> Range:
    """The part of a range that every writer can read. Raises CniError 7 when there is none."""
    if wanted.first - wanted.base > _MOST:
        raise invalid(
            f"range {wanted.cidr} from {wanted.text(wanted.first)} cannot be shared in a cluster",
            "a pool has addresses of the network's lower half (2^63) only",
        )
    return wanted._replace(last=min(wanted.last, wanted.base + _MOST))


def reservation_name(network_name: str, version: int, address: int) -> str:
    name = text(version, address).replace(":", "-")
    if name.endswith("-"):
        name += "0"
    return f"{network_name}-{name}" if network_name else name


def reserved_address(network_name: str, version: int, name: str) -> int | None:
    """The address of a reservation, by its name; None when it is of another network_name."""
    said = name.removeprefix(f"{network_name}-") if network_name else name
    try:
        found = ip_address(said.replace("-", ":") if version == 6 else said)
    except ValueError:
        return None
    is_it = found.version == version and reservation_name(network_name, version, int(found)) == name
    return int(found) if is_it else None


def hold_id(hold: Hold) -> str:
    """A hold as the `id` of an allocation: the original sees a taken address without a pod."""
    # a colon in one, for one
    holder, ifname = (quote(each, safe="/") for each in (hold.holder, hold.ifname))
    return f"hold:{hold.kind}:{hold.until}:{holder}:{ifname}"


def hold_of(key: Key, address: int, found: Allocation | Reservation) -> Hold | None:
    """None for a lease."""
    said = found.id if isinstance(found, Allocation) else found.containerid
    parts = said.split(":")
    if len(parts) != 5 or parts[0] != "hold" or not parts[2].isdecimal():
        return None
    _, kind, until, holder, ifname = parts
    place = (key.network_name, key.cidr, key.version, address)
    return Hold(*place, kind, unquote(holder), unquote(ifname), int(until))


def is_over(hold: Hold, now: int) -> bool:
    return 0 < hold.until <= now


def new_pool(key: Key) -> Json:
    return _object("IPPool", key.name, {"range": key.cidr, "allocations": {}})


def new_reservation(name: str, wanted: Reservation) -> Json:
    return _object("OverlappingRangeIPReservation", name, wanted.document())


def reserving(key: Key, address: int, hold: Hold | None) -> Json:
    """A merge patch that notes a reservation at the pool, or forgets it."""
    value = None if hold is None else hold_id(hold._replace(kind=RESERVED))
    return {"metadata": {"annotations": {f"{_RESERVED}{key.offset(address)}": value}}}


def read_pool(key: Key, document: Json) -> Pool:
    """Raises CniError 7 when the pool is of another range, 11 when this is no pool at all."""
    spec = _spec(document, "IPPool", key.name)
    said = spec.get("range")
    try:
        network = ip_network(str(said), strict=False)
    except ValueError:
        network = None
    if str(network) != key.cidr:
        raise invalid(f"IPPool {key.name}: its range is {said}, and not {key.cidr}")
    allocations = spec.get("allocations")
    if not isinstance(allocations, dict | None):
        raise _no("IPPool", key.name)
    size = 2 ** ((32 if key.version == 4 else 128) - int(key.cidr.rpartition("/")[2]))
    found: dict[int, Allocation] = {}
    for offset, each in (allocations or {}).items():
        # what is no offset of this network is not ours to understand, and never touched
        if _is_offset(offset) and int(offset) < size and isinstance(each, dict):
            found[key.base + int(offset)] = Allocation(
                *(str(each.get(name) or "") for name in ("id", "podref", "ifname"))
            )
    annotations = document.get("metadata", {}).get("annotations") or {}
    reserved = {
        key.base + int(name.removeprefix(_RESERVED)): str(value)
        for name, value in annotations.items()
        if name.startswith(_RESERVED) and _is_offset(name.removeprefix(_RESERVED))
    }
    return Pool(key, found, reserved)


def read_reservation(name: str, document: Json) -> Reservation:
    """Raises CniError 11 when this is none."""
    spec = _spec(document, "OverlappingRangeIPReservation", name)
    metadata = document["metadata"]
    said = [str(spec.get(each) or "") for each in ("podref", "ifname", "containerid")]
    said += [str(metadata.get(each) or "") for each in ("uid", "resourceVersion")]
    return Reservation(*said)


def listed_reservation(document: Json) -> tuple[str, Reservation] | None:
    """A reservation of a list, and its name; None for what is none."""
    metadata = document.get("metadata")
    name = str(metadata.get("name")) if isinstance(metadata, dict) else ""
    try:
        return name, read_reservation(name, document)
    except CniError:
        return None


def listed(document: Json, nodes: frozenset[str]) -> tuple[Pool, str] | None:
    """A pool of a list, and the node whose slice it is; None for what is none.

    What stands before the range in its name is the network_name, the node or both.
    """
    try:
        name = document["metadata"]["name"]
        network = ip_network(str(document["spec"]["range"]), strict=False)
        before = name.removesuffix(_in_name(str(network)))
        node = max((n for n in nodes if f"-{before}".endswith(f"-{n}-")), key=len, default="")
        network_name = before.removesuffix(f"{node}-" if node else "").removesuffix("-")
        base = int(network.network_address)
        key = Key(name, network_name, str(network), network.version, base)
        return read_pool(key, document), node
    except (KeyError, TypeError, ValueError, AttributeError, CniError):
        return None


def slice_of(document: Json, node: str, wanted: Range) -> tuple[str, Range]:
    """The node as the NodeSlicePool calls it, and the part of the range that is its own.

    A node's name may be short in one place and a domain's in the other. Raises CniError 7.
    """
    allocations = document.get("status", {}).get("allocations") or ()
    named = {
        str(each.get("nodeName")): str(each.get("sliceRange"))
        for each in allocations
        if isinstance(each, dict) and each.get("nodeName")
    }
    name = node
    if name not in named:
        alike = [each for each in named if each.partition(".")[0] == node.partition(".")[0]]
        name = alike[0] if len(alike) == 1 else ""
    if not name:
        raise invalid(
            f"no allocated node slice for node {node} in range {wanted.cidr}",
            f"it is given by whereabouts' controller; {len(named)} nodes have one",
        )
    try:
        network = ip_network(named[name])
    except ValueError:
        network = None
    base = 0 if network is None else int(network.network_address)
    usable = None if network is None else window(network.version, base, network.prefixlen)
    if network is None or usable is None or not wanted.in_network(network.version, base):
        raise invalid(f"node slice {named[name]} of node {name} is no part of {wanted.cidr}")
    first, last = max(usable[0], wanted.first), min(usable[1], wanted.last)
    return name, wanted._replace(base=base, prefix_len=network.prefixlen, first=first, last=last)


def _object(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _in_name(cidr: str) -> str:
    return cidr.replace(":", "-").replace("/", "-")


def _is_offset(text: str) -> bool:
    """Whether the original could have written the number."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return is_number and (text == "0" or text[0] != "0")


def _spec(document: Json, kind: str, name: str) -> dict[str, Any]:
    """A proxy may say anything with status 200."""
    spec, metadata = document.get("spec"), document.get("metadata")
    is_it = isinstance(metadata, dict) and metadata.get("name") == name
    if document.get("kind") != kind or not isinstance(spec, dict) or not is_it:
        raise _no(kind, name)
    return spec


def _no(kind: str, name: str) -> CniError:
    return CniError(Code.TRY_AGAIN_LATER, f"the API server's answer is no {kind} {name}")
