"""What a configuration wants of a VF, checked as far as it can be without the hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cni.core import args, log, mac
from cni.core.errors import invalid
from cni.core.load import load
from cni.host import sriov
from cni.host.vf import VLAN_PROTOCOLS, Rate, Settings, Vlan

if TYPE_CHECKING:
    from cni.conf import Sriov
    from cni.core.types import Json, Request

_KEYS = ("deviceID", "vlan", "vlanQoS", "vlanProto", "mac", "spoofchk", "trust", "link_state",
         "min_tx_rate", "max_tx_rate", "mtu", "logLevel", "logFile", "runtimeConfig")  # fmt: skip


class Wish(NamedTuple):
    """The VF by its PCI address, its settings on the PF, the MTU of its interface."""

    device: str
    settings: Settings
    mtu: int = 0  #: bytes; 0 leaves it

    @property
    def mac(self) -> str:
        """Of the interface too; empty leaves it."""
        return self.settings.mac or ""


def parse(req: Request) -> Wish:
    """Raises CniError 7 (4 for CNI_ARGS) naming the key and its value."""
    conf: Sriov = load("cni.conf:Sriov", req.config)
    for key, meant in misspelt(req.config):
        log.warning("unknown key", key=key, meant=meant)
    settings = _settings(req, conf)
    return Wish(_device(conf), settings, conf.mtu)


def check_keys(req: Request) -> None:
    """Raises as `parse` does, but for the device, which may come with the pod."""
    _settings(req, load("cni.conf:Sriov", req.config))


def _settings(req: Request, conf: Sriov) -> Settings:
    return Settings(
        vlan=_vlan(conf),
        mac=_mac(req, conf) or None,
        rate=_rate(conf),
        spoofchk=_switch("spoofchk", conf.spoofchk),
        trust=_switch("trust", conf.trust),
        link_state=conf.link_state or None,
    )


def misspelt(config: Json) -> list[tuple[str, str]]:
    """Keys that are ignored and look like one that is not: `max-tx-rate` (sriov-cni#201)."""

    def letters(key: str) -> str:
        return key.lower().replace("-", "").replace("_", "")

    spelling = {letters(key): key for key in _KEYS}
    folded = {key.lower() for key in _KEYS}
    return [
        (key, spelling[letters(key)])
        for key in config
        if key.lower() not in folded and letters(key) in spelling
    ]


def named_device(req: Request) -> str:
    """The VF that the configuration names, if it does; for verbs that can do without."""
    given = _lenient(req.runtime_config(), "deviceID") or _lenient(req.config, "deviceID")
    return given.lower() if sriov.is_address(given) else ""


def configure_log(req: Request) -> None:
    """As `logLevel` and `logFile` say, for any verb and whatever else is wrong."""
    log.configure(_lenient(req.config, "logLevel"), _lenient(req.config, "logFile"))


def _lenient(config: Json, key: str) -> str:
    value = config.get(key, next((v for k, v in config.items() if k.lower() == key.lower()), ""))
    return value if isinstance(value, str) else ""


def _device(conf: Sriov) -> str:
    given = conf.runtime_config.device_id
    key, value = ("runtimeConfig.deviceID", given) if given else ("deviceID", conf.device_id)
    if not value:
        raise invalid('"deviceID": VF pci addr is required')
    if not sriov.is_address(value):
        raise invalid(f'"{key}": "{value}" is no PCI address such as 0000:af:06.0')
    return value.lower()


def _mac(req: Request, conf: Sriov) -> str:
    """runtimeConfig.mac, else args.cni.mac, else MAC in CNI_ARGS, else mac."""
    in_args = args.parse_known(req.args, ("MAC",)).get("MAC", "")
    for key, text in (
        ("runtimeConfig.mac", conf.runtime_config.mac),
        ("args.cni.mac", conf.args.cni.mac),
        ("CNI_ARGS MAC", in_args),
        ("mac", conf.mac),
    ):
        if text:
            return mac.parse(text, key)
    return ""


def _vlan(conf: Sriov) -> Vlan | None:
    """No `vlan` leaves the VF's VLAN as it is, 0 takes it away; the rest only refines it."""
    for key, value in (("vlanQoS", conf.vlan_qos), ("vlanProto", conf.vlan_proto)):
        if conf.vlan is None and value is not None:
            raise invalid(f'"{key}": {value} needs "vlan"')
    if conf.vlan is None:
        return None
    proto = "802.1q" if conf.vlan_proto is None else conf.vlan_proto.lower()
    if proto not in VLAN_PROTOCOLS:
        raise invalid(f'"vlanProto": "{conf.vlan_proto}" is neither 802.1q nor 802.1ad')
    if conf.vlan == 0 and (conf.vlan_qos or proto != "802.1q"):
        key = "vlanQoS" if conf.vlan_qos else "vlanProto"
        raise invalid(f'"{key}": {conf.vlan_qos or proto} needs a "vlan" that is not 0')
    return Vlan(conf.vlan, conf.vlan_qos or 0, proto)


def _rate(conf: Sriov) -> Rate | None:
    """The kernel takes both at once: one that is not given is unlimited."""
    if conf.min_tx_rate is None and conf.max_tx_rate is None:
        return None
    rate = Rate(conf.min_tx_rate or 0, conf.max_tx_rate or 0)
    if rate.max and rate.min > rate.max:
        raise invalid(f'"min_tx_rate": {rate.min} is more than "max_tx_rate": {rate.max}')
    return rate


def _switch(key: str, value: str) -> bool | None:
    """The original takes whatever is not exactly "on" as off."""
    if not value:
        return None
    if value.lower() not in ("on", "off"):
        raise invalid(f'"{key}": "{value}" is neither "on" nor "off"')
    return value.lower() == "on"
