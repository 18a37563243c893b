"""The configuration of the interface plugins, as pydantic models.

Declarative constraints only: rules that concern two keys are plain functions in the plugin.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: true and false; the documentation of the originals also shows them quoted
Flag = Annotated[bool, Field(strict=False)]
VlanId = Annotated[int, Field(ge=1, le=4094)]
Mtu = Annotated[int, Field(ge=0, le=0x7FFFFFFF)]


class Model(BaseModel):
    """Strict about types, silent about keys it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", populate_by_name=True)


class Trunk(Model):
    """VLANs that a port carries tagged: one id, or a range."""

    id: VlanId | None = None
    min_id: VlanId | None = Field(default=None, alias="minID")
    max_id: VlanId | None = Field(default=None, alias="maxID")


class MacArgs(Model):
    mac: str = ""


class CniArgs(Model):
    cni: MacArgs = MacArgs()


class MacRuntime(Model):
    mac: str = ""


class Bridge(Model):
    """Keys of `bridge`; mtu in bytes."""

    bridge: str = "cni0"
    is_gateway: Flag = Field(default=False, alias="isGateway")
    is_default_gateway: Flag = Field(default=False, alias="isDefaultGateway")
    force_address: Flag = Field(default=False, alias="forceAddress")
    ip_masq: Flag = Field(default=False, alias="ipMasq")
    ip_masq_backend: Literal["", "nftables", "iptables"] = Field(default="", alias="ipMasqBackend")
    mtu: Mtu = 0
    hairpin_mode: Flag = Field(default=False, alias="hairpinMode")
    promisc_mode: Flag = Field(default=False, alias="promiscMode")
    vlan: Annotated[int, Field(ge=0, le=4094)] = 0
    vlan_trunk: list[Trunk] | None = Field(default=None, alias="vlanTrunk")
    preserve_default_vlan: Flag = Field(default=False, alias="preserveDefaultVlan")
    macspoofchk: Flag = False
    enabledad: Flag = False
    disable_container_interface: Flag = Field(default=False, alias="disableContainerInterface")
    port_isolation: Flag = Field(default=False, alias="portIsolation")
    args: CniArgs = CniArgs()
    runtime_config: MacRuntime = Field(default=MacRuntime(), alias="runtimeConfig")


class DeviceRuntime(Model):
    device_id: str = Field(default="", alias="deviceID")


class HostDevice(Model):
    """Keys of `host-device`: how the device is chosen."""

    device: str = ""
    hwaddr: str = ""
    kernelpath: str = ""
    pci_bus_id: str = Field(default="", alias="pciBusID")
    runtime_config: DeviceRuntime = Field(default=DeviceRuntime(), alias="runtimeConfig")


class VfRuntime(Model):
    mac: str = ""
    device_id: str = Field(default="", alias="deviceID")


TxRate = Annotated[int, Field(ge=0, le=0x7FFFFFFF)]  #: the kernel hands on an int


class Sriov(Model):
    """Keys of `sriov`; rates in Mbit/s, 0 being unlimited; an absent setting is left as it is."""

    device_id: str = Field(default="", alias="deviceID")
    vlan: Annotated[int, Field(ge=0, le=4094)] | None = None
    vlan_qos: Annotated[int, Field(ge=0, le=7)] | None = Field(default=None, alias="vlanQoS")
    vlan_proto: str | None = Field(default=None, alias="vlanProto")
    mac: str = ""
    spoofchk: str = ""
    trust: str = ""
    link_state: Literal["", "auto", "enable", "disable"] = ""
    min_tx_rate: TxRate | None = None
    max_tx_rate: TxRate | None = None
    mtu: Mtu = 0
    log_level: str = Field(default="", alias="logLevel")
    log_file: str = Field(default="", alias="logFile")
    args: CniArgs = CniArgs()
    runtime_config: VfRuntime = Field(default=VfRuntime(), alias="runtimeConfig")
