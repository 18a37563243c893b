"""The configuration of the IPAM plugins: types and ranges only, rules are in the plugins.

Models are lowered to pydantic-core schemas at build time, so they hold no Python validators.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

_FROZEN = ConfigDict(frozen=True)

UInt32 = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
UInt8 = Annotated[int, Field(strict=True, ge=0, le=255)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=10 * 366 * 86400)]
Strings = list[StrictStr]


class Route(BaseModel):
    """A route of the result; `dst` a CIDR, `gw` an address, `priority` the metric."""

    model_config = _FROZEN

    dst: StrictStr
    gw: StrictStr = ""
    mtu: UInt32 = 0
    advmss: UInt32 = 0
    priority: UInt32 = 0
    table: UInt32 | None = None
    scope: UInt8 | None = None


class Dns(BaseModel):
    """Name service settings of the result."""

    model_config = _FROZEN

    nameservers: Strings = []
    domain: StrictStr = ""
    search: Strings = []
    options: Strings = []


class Address(BaseModel):
    """An address that the configuration spells out: a CIDR, and its gateway."""

    model_config = _FROZEN

    address: StrictStr
    gateway: StrictStr = ""


class Static(BaseModel):
    """`ipam` of type static."""

    model_config = _FROZEN

    addresses: list[Address] = []
    routes: list[Route] = []
    dns: Dns = Dns()


class CallerIps(BaseModel):
    """`args.cni` and `runtimeConfig`: what the caller of this one ADD asks for."""

    model_config = _FROZEN

    ips: Strings = []
    preferred_ip: StrictStr = Field(default="", alias="preferred-ip")


class CallerArgs(BaseModel):
    """`args`, the caller's own section of the configuration."""

    model_config = _FROZEN

    cni: CallerIps = CallerIps()


class IpRange(BaseModel):
    """One of several ranges; each gives an attachment one address."""

    model_config = _FROZEN

    range: StrictStr
    range_start: StrictStr = ""
    range_end: StrictStr = ""
    exclude: Strings = []


class Kubernetes(BaseModel):
    """Where the cluster's store would be."""

    model_config = _FROZEN

    kubeconfig: StrictStr = ""
    k8s_api_root: StrictStr = ""


class Whereabouts(BaseModel):
    """`ipam` of type whereabouts, and its flat file, which has the same keys."""

    model_config = _FROZEN

    type: StrictStr = ""
    range: StrictStr = ""
    range_start: StrictStr = ""
    range_end: StrictStr = ""
    exclude: Strings = []
    ip_ranges: list[IpRange] = Field([], alias="ipRanges")
    gateway: StrictStr = ""
    exclude_gateway: bool = False
    routes: list[Route] = []
    dns: Dns = Dns()
    addresses: list[Address] = []
    enable_overlapping_ranges: bool = True
    network_name: StrictStr = ""
    configuration_path: StrictStr = ""
    # where the leases are: "kubernetes" when there is a kubeconfig, else "file"
    datastore: Literal["", "file", "kubernetes", "etcd"] = ""
    kubernetes: Kubernetes = Kubernetes()
    node_slice_size: StrictStr = ""
    etcd_host: StrictStr = ""
    etcd_username: StrictStr = ""
    etcd_password: StrictStr = ""
    etcd_key_file: StrictStr = ""
    etcd_cert_file: StrictStr = ""
    etcd_ca_cert_file: StrictStr = ""
    # ours: what becomes of an address after its release, and which pods have addresses of their own
    cooldown: Seconds = 0  # that it rests before others get it, unless nothing else is free
    sticky: bool = False  # it waits for its pod
    sticky_seconds: Seconds = 0  # for so long; 0: for ever
    strict: bool = False  # rather none than another than the pod's own
    reservations: dict[str, Strings] = {}  # namespace/name of a pod -> its addresses
    # The rest is accepted so that existing configurations pass, and its types are held to what
    # the original holds them to. Nothing here reads it.
    leader_lease_duration: UInt32 = 0
    leader_renew_deadline: UInt32 = 0
    leader_retry_period: UInt32 = 0
    sleep_for_race: UInt32 = 0
    reconciler_cron_expression: StrictStr = ""
    log_file: StrictStr = ""
    log_level: StrictStr = ""


class HostLocalRange(BaseModel):
    """A subnet of a range set; the bounds are included, the gateway is never handed out."""

    model_config = _FROZEN

    subnet: StrictStr
    range_start: StrictStr = Field("", alias="rangeStart")
    range_end: StrictStr = Field("", alias="rangeEnd")
    gateway: StrictStr = ""


class HostLocal(BaseModel):
    """`ipam` of type host-local; `subnet` and what goes with it is a range set in the old style."""

    model_config = _FROZEN

    subnet: StrictStr = ""
    range_start: StrictStr = Field("", alias="rangeStart")
    range_end: StrictStr = Field("", alias="rangeEnd")
    gateway: StrictStr = ""
    ranges: list[list[HostLocalRange]] = []
    routes: list[Route] = []
    resolv_conf: StrictStr = Field("", alias="resolvConf")
    data_dir: StrictStr = Field("", alias="dataDir")


class HostLocalPlace(BaseModel):
    """Where the lease files are: all that a DEL has to know."""

    model_config = _FROZEN

    data_dir: StrictStr = Field("", alias="dataDir")


class HostLocalRuntime(BaseModel):
    """`runtimeConfig`: range sets for this one ADD."""

    model_config = _FROZEN

    ip_ranges: list[list[HostLocalRange]] = Field([], alias="ipRanges")
