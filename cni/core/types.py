"""The values that plugins exchange: one request shape in, one result shape out (CNI 1.1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


class Attachment(NamedTuple):
    """What one ADD made: the key of every lease, rule and record."""

    network: str
    container_id: str
    ifname: str


class Interface(NamedTuple):
    """An interface of a result; `sandbox` is empty for one on the host."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


class IPConfig(NamedTuple):
    """An address in CIDR notation; `interface` indexes the result's interfaces."""

    address: str
    gateway: str = ""
    interface: int | None = None


class Route(NamedTuple):
    """A route; mtu and advmss in bytes, `priority` is the metric."""

    dst: str
    gw: str = ""
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int | None = None
    scope: int | None = None


class DNS(NamedTuple):
    """Name service settings; the runtime applies them, plugins only pass them on."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Result(NamedTuple):
    """What an ADD made, in the shape of CNI 1.1.0."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()


class Request(NamedTuple):
    """One call of a plugin: the verb, its subject, and the network configuration.

    `config` is the parsed standard input with the keys that the protocol itself reads in their
    canonical spelling; a plugin's own keys are as the user wrote them, and `core.load` reads them.
    """

    command: str
    config: Json
    environ: Mapping[str, str]
    network: str = ""
    cni_version: str = "0.1.0"
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    args: str = ""
    path: tuple[str, ...] = ()
    prev_result: Result | None = None
    #: GC: what the runtime still has, as (container ID, ifname); None when it did not say
    valid_attachments: frozenset[tuple[str, str]] | None = None

    @property
    def attachment(self) -> Attachment:
        return Attachment(self.network, self.container_id, self.ifname)

    @property
    def state_dir(self) -> str:
        """The root of all records: /var/lib/cni, or PLAIT_STATE_DIR."""
        return self.environ.get("PLAIT_STATE_DIR") or "/var/lib/cni"

    @property
    def run_dir(self) -> str:
        """The root of what need not survive a boot: /run/plait, or PLAIT_RUN_DIR."""
        return self.environ.get("PLAIT_RUN_DIR") or "/run/plait"

    def runtime_config(self) -> Json:
        value = self.config.get("runtimeConfig")
        return value if isinstance(value, dict) else {}
