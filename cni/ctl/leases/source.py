"""Which store a command means: the node's own, or that of a configuration file.

From a file come the ranges too: of all its `ipam` sections of type whereabouts, also those of the
delegates of multus and of NetworkAttachmentDefinitions in JSON.
"""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core.errors import CniError, describe, invalid
from cni.core.request import canonical, decode
from cni.core.types import Request
from cni.store import files
from ipam import plan
from ipam.node import node_name
from ipam.opening import open_store
from ipam.ranges import Range, window
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cni.core.types import Json
    from cni.ctl.leases.selection import Found
    from ipam.settings import Settings
    from ipam.stores import Store

#: of which a flat file has at least one, and another document none at its top
_FLAT_KEYS = frozenset(
    ("datastore", "kubernetes", "etcd_host", "range", "ipranges", "network_name")
)  # fmt: skip


class Pool(NamedTuple):
    """A range, and what a report of its use has to know."""

    network_name: str
    range: Range
    #: what other pools of the same network_name have is not free here
    unique: bool = True
    #: each node leases from a part of the range, which is a pool of its own
    is_sliced: bool = False
    #: addresses that the configuration has for one pod each
    reserved: frozenset[int] = frozenset()


class Section(NamedTuple):
    """One `ipam` section: the network that it is of, the store that it means, its ranges."""

    network: str
    request: Request
    settings: Settings
    pools: tuple[Pool, ...]

    @property
    def store(self) -> tuple[str, ...]:
        """What tells its store from others."""
        settings = self.settings
        if settings.datastore == "kubernetes":
            return settings.datastore, settings.kubeconfig
        if settings.datastore == "etcd":
            return settings.datastore, settings.etcd.hosts, settings.etcd.username
        return (settings.datastore,)


class Source(NamedTuple):
    """The store of all sections; without any it is the node's file store."""

    state_dir: str
    node: str  #: the name of this node
    sections: tuple[Section, ...]

    @property
    def datastore(self) -> str:
        return self.sections[0].settings.datastore if self.sections else "file"

    @property
    def kubeconfig(self) -> str:
        return self.sections[0].settings.kubeconfig if self.sections else ""

    @property
    def pools(self) -> list[Pool]:
        """Those of all sections, each once."""
        found = (each for section in self.sections for each in section.pools)
        return list({(each.network_name, each.range): each for each in found}.values())

    def open(self, pool: Pool | None = None) -> Store:
        """The store, as the sections of that pool know it."""
        for each in self.sections:
            if pool is None or pool in each.pools:
                return open_store(each.settings, each.request)
        return FileStore(self.state_dir)


def state_dir(environ: Mapping[str, str]) -> str:
    return environ.get("PLAIT_STATE_DIR") or "/var/lib/cni"


def database(directory: str) -> str:
    """Where the file store of a state directory is."""
    return os.path.join(directory, "plait", "leases.db")


def read(conf: str, environ: Mapping[str, str], network: str = "") -> Source:
    """The source that a configuration file means, or none.

    `network`: of the sections only those that have it as network or network_name. Raises CniError
    5, 6 or 7 for a file that cannot be used, or means several stores.
    """
    if not conf:
        return Source(state_dir(environ), node_name(environ), ())
    every = [_section(config, environ, conf) for config in _configs(_document(conf), conf)]
    if not every:
        raise invalid(f"{conf}: there is no ipam section of type whereabouts in it")
    named = [each for each in every if network in (each.network, each.settings.network_name)]
    sections = tuple(named or every)
    if len({each.store for each in sections}) > 1:
        said = ", ".join(f"{each.network or '-'}: {each.settings.datastore}" for each in sections)
        raise invalid(f"{conf} means several stores: name one with --network", said)
    node = node_name(environ, sections[0].settings.configuration_path)
    return Source(state_dir(environ), node, sections)


def whole(cidr: str) -> Range:
    """All that a range of this network can hand out. Raises ValueError."""
    network = ip_network(cidr)
    base, top = int(network.network_address), int(network.broadcast_address)
    first, last = window(network.version, base, network.prefixlen) or (base, top)
    return Range(network.version, base, network.prefixlen, first, last)


def seen(found: Found) -> list[Pool]:
    """The pools that leases and holds are of, when no configuration names them."""
    names = {(each.network_name, each.cidr) for each in found.both}
    return sorted((Pool(name, whole(cidr)) for name, cidr in names), key=_order)


def _order(pool: Pool) -> tuple[str, int, int, int]:
    return pool.network_name, pool.range.version, pool.range.base, pool.range.prefix_len


def _document(path: str) -> Json:
    try:
        data = files.read(path)
    except OSError as error:
        raise describe(error) from None
    if data is None:
        raise invalid(f"no file {path}")
    return decode(data, path)


def _configs(document: Json, path: str) -> Iterator[Json]:
    """The plugin configurations with an `ipam` of whereabouts, their networks' names in them."""
    found = list(_walk(document, ""))
    lowered = {key.lower() for key in document}
    if not found and lowered & _FLAT_KEYS and not lowered & {"ipam", "plugins", "delegates"}:
        flat = {"type": "whereabouts", "configuration_path": os.path.abspath(path)}
        return iter([{"name": "", "ipam": flat}])
    return iter(found)


def _walk(value: Any, name: str) -> Iterator[Json]:
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, name)
    if not isinstance(value, dict):
        return
    folded = {key.lower(): each for key, each in value.items()}
    metadata = folded.get("metadata")
    own = metadata.get("name") if isinstance(metadata, dict) else folded.get("name")
    name = own if isinstance(own, str) and own else name
    ipam = folded.get("ipam")
    if isinstance(ipam, dict) and _is_whereabouts(ipam):
        yield {**value, "name": name}
    if isinstance(folded.get("config"), str):  # spec of a NetworkAttachmentDefinition
        yield from _walk(decode(folded["config"].encode(), f'"config" of {name}'), name)
    for key, each in folded.items():
        if key != "ipam":
            yield from _walk(each, name)


def _is_whereabouts(ipam: Json) -> bool:
    return any(key.lower() == "type" and value == "whereabouts" for key, value in ipam.items())


def _section(config: Json, environ: Mapping[str, str], path: str) -> Section:
    try:
        config = canonical({key: config[key] for key in config if key != "prevResult"}, path)
        name = config["name"]
        request = Request("CHECK", config, environ, network=name, cni_version="1.0.0")
        made = plan.make(request)
    except CniError as error:
        raise error.within(path) from None
    pools = tuple(
        Pool(
            ask.network_name,
            ask.range,
            ask.unique,
            bool(made.settings.node_slice_size),
            _reserved(made.settings.reservations, ask.range),
        )
        for ask in made.ranges
    )
    return Section(name, request, made.settings, pools)


def _reserved(reservations: dict[str, list[str]], wanted: Range) -> frozenset[int]:
    """Those in the range's window; the plan has refused what is no address."""
    ips = [ip_address(text) for texts in reservations.values() for text in texts]
    return frozenset(
        int(ip)
        for ip in ips
        if ip.version == wanted.version and wanted.first <= int(ip) <= wanted.last
    )
