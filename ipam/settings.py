"""whereabouts' settings: the CNI configuration, its gaps filled from the flat file.

The flat file is what the cluster's installer puts on each node: a JSON object of the same keys.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cni.core.errors import CniError, Code, invalid
from cni.core.load import load
from cni.core.request import decode
from cni.core.types import DNS
from cni.store import files
from ipam import fixed
from ipam.stores import FOR_EVER

if TYPE_CHECKING:
    from cni.core.types import Json
    from ipam import conf

#: where the original looks, in this order; the first that exists counts
STANDARD_PATHS = (
    "/etc/kubernetes/cni/net.d/whereabouts.d/whereabouts.conf",
    "/etc/cni/net.d/whereabouts.d/whereabouts.conf",
    "/host/etc/cni/net.d/whereabouts.d/whereabouts.conf",
)


class Etcd(NamedTuple):
    """Where an etcd is, and who we are to it: files by their paths."""

    hosts: str
    username: str
    password: str
    key_file: str
    cert_file: str
    ca_file: str


class Settings(NamedTuple):
    """What an allocation needs, and where the leases are."""

    range: str
    range_start: str
    range_end: str
    exclude: list[str]
    ip_ranges: list[conf.IpRange]
    gateway: str
    exclude_gateway: bool
    routes: list[conf.Route]
    addresses: list[conf.Address]
    network_name: str
    dns: DNS
    enable_overlapping_ranges: bool
    datastore: str  #: file, kubernetes or etcd
    is_file_asked: bool  #: it is not only that nothing else is
    kubeconfig: str
    node_slice_size: str
    configuration_path: str
    etcd: Etcd
    cooldown: int
    sticky: int  #: seconds, or FOR_EVER
    strict: bool
    reservations: dict[str, list[str]]


def read(ipam: Json) -> Settings:
    """The settings of an `ipam` section and its flat file.

    Raises CniError 7 naming the key and its value; 5 or 6 for a flat file that cannot be read.
    """
    own: conf.Whereabouts = load("ipam.conf:Whereabouts", ipam, "ipam")
    if own.type not in ("", "whereabouts"):
        raise invalid(
            "\"ipam.type\": only interested in networks whose IPAM type is 'whereabouts'. "
            f"This one was: {own.type}"
        )
    path = _flat_path(own.configuration_path)
    flat: conf.Whereabouts = load("ipam.conf:Whereabouts", _flat(path), path or "flat file")
    return _merge(own, flat, path)


def _flat_path(configuration_path: str) -> str:
    """The flat file; empty when there is none, which is fine unless one was named."""
    if not configuration_path:
        return next(filter(os.path.isfile, STANDARD_PATHS), "")
    path = configuration_path
    if os.path.isdir(path):  # what the original's installer makes since 0.9.4
        path = os.path.join(path, "whereabouts.conf")
    if not os.path.exists(path):
        # it may have asked for the cluster's store, so that leasing without it is no choice
        raise invalid(
            f'"ipam.configuration_path": config file not found: {configuration_path}',
            f"{path} does not exist",
        )
    return path


def _flat(path: str) -> Json:
    if not path:
        return {}
    try:
        data = files.read(path) or b""
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"error opening flat configuration file @ {path}",
            str(error.strerror),
        ) from None
    return decode(data, f"flat file {path}")


def _merge(own: conf.Whereabouts, flat: conf.Whereabouts, path: str) -> Settings:
    """The flat file fills what is empty; it never turns overlapping ranges on or off."""
    kubeconfig = own.kubernetes.kubeconfig or flat.kubernetes.kubeconfig
    seconds = own.sticky_seconds or flat.sticky_seconds
    return Settings(
        range=own.range or flat.range,
        range_start=own.range_start or flat.range_start,
        range_end=own.range_end or flat.range_end,
        exclude=own.exclude or flat.exclude,
        ip_ranges=own.ip_ranges or flat.ip_ranges,
        gateway=own.gateway or flat.gateway,
        exclude_gateway=own.exclude_gateway or flat.exclude_gateway,
        routes=own.routes or flat.routes,
        addresses=own.addresses or flat.addresses,
        network_name=own.network_name or flat.network_name,
        dns=_merge_dns(fixed.dns(own.dns), fixed.dns(flat.dns)),
        enable_overlapping_ranges=own.enable_overlapping_ranges,
        datastore=_datastore(own.datastore or flat.datastore, kubeconfig),
        is_file_asked=(own.datastore or flat.datastore) == "file",
        kubeconfig=kubeconfig,
        node_slice_size=own.node_slice_size or flat.node_slice_size,
        configuration_path=own.configuration_path or path,
        etcd=Etcd(
            own.etcd_host or flat.etcd_host,
            own.etcd_username or flat.etcd_username,
            own.etcd_password or flat.etcd_password,
            own.etcd_key_file or flat.etcd_key_file,
            own.etcd_cert_file or flat.etcd_cert_file,
            own.etcd_ca_cert_file or flat.etcd_ca_cert_file,
        ),
        cooldown=own.cooldown or flat.cooldown,
        sticky=(seconds or FOR_EVER) if own.sticky or flat.sticky else 0,
        strict=own.strict or flat.strict,
        reservations=own.reservations or flat.reservations,
    )


def _datastore(asked: str, kubeconfig: str) -> str:
    """With a kubeconfig the cluster's, as with the original, unless another is named."""
    if asked == "kubernetes" and not kubeconfig:
        raise invalid('"ipam.datastore" is "kubernetes", and there is no "kubernetes.kubeconfig"')
    if asked == "etcd" and kubeconfig:  # of a configuration that is older than the cluster's store
        return "kubernetes"
    return asked or ("kubernetes" if kubeconfig else "file")


def _merge_dns(own: DNS, flat: DNS) -> DNS:
    return DNS(
        nameservers=own.nameservers or flat.nameservers,
        domain=own.domain or flat.domain,
        search=own.search or flat.search,
        options=own.options or flat.options,
    )
