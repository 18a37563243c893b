"""Models of the meta plugins' own keys. Declarative only: the build lowers them to schemas.

Numbers and strings must be what they say, booleans may be what Go configurations hold ("true").
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, StrictStr

Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Rate = Annotated[StrictInt, Field(ge=0)]


class PortMapping(BaseModel):
    """A port of the host that leads to one of the container."""

    host_port: Port = Field(0, alias="hostPort")
    container_port: Port = Field(0, alias="containerPort")
    protocol: StrictStr = ""
    host_ip: StrictStr = Field("", alias="hostIP")


class Bandwidth(BaseModel):
    """Limits in bits per second, bursts in bits."""

    ingress_rate: Rate = Field(0, alias="ingressRate")
    ingress_burst: Rate = Field(0, alias="ingressBurst")
    egress_rate: Rate = Field(0, alias="egressRate")
    egress_burst: Rate = Field(0, alias="egressBurst")


class Selection(BaseModel):
    """One network that a pod asks for: an element of the annotation's JSON form (NPWG 4.1.2).

    An absent `default-route` is not an empty one: [] asks to keep the network's own.
    """

    name: StrictStr = ""
    namespace: StrictStr = ""
    interface: StrictStr = ""
    interface_request: StrictStr = Field("", alias="interfaceRequest")
    ips: list[StrictStr] = []
    mac: StrictStr = ""
    infiniband_guid: StrictStr = Field("", alias="infiniband-guid")
    port_mappings: list[PortMapping] = Field([], alias="portMappings")
    bandwidth: Bandwidth | None = None
    device_id: StrictStr = Field("", alias="deviceID")
    cni_args: dict[str, Any] | None = Field(None, alias="cni-args")
    default_route: list[StrictStr] | None = Field(None, alias="default-route")


class Multus(BaseModel):
    """multus; `attachments` is ours, the other keys are those of the original."""

    conf_dir: StrictStr = Field("", alias="confDir")  # empty: /etc/cni/multus/net.d
    cni_dir: StrictStr = Field("", alias="cniDir")  # empty: multus/ of the state directory
    bin_dir: StrictStr = Field("", alias="binDir")  # empty: /opt/cni/bin
    delegates: list[dict[str, Any]] = []
    cluster_network: StrictStr = Field("", alias="clusterNetwork")
    default_networks: list[StrictStr] = Field([], alias="defaultNetworks")
    attachments: list[Selection] = []
    kubeconfig: StrictStr = ""
    system_namespaces: list[StrictStr] = Field(["kube-system"], alias="systemNamespaces")
    readiness_indicator_file: StrictStr = Field("", alias="readinessindicatorfile")
    auxiliary_cni_chain_name: StrictStr = Field("", alias="auxiliaryCNIChainName")
    disable_gc: bool = Field(False, alias="disableGC")
    log_file: StrictStr = Field("", alias="logFile")
    log_level: StrictStr = Field("", alias="logLevel")
    log_to_stderr: bool = Field(True, alias="logToStderr")
    # accepted, not read: without an API server there are no namespaces, records always stay until
    # all is deleted, and rotation is for a tool that owns the file
    multus_namespace: StrictStr = Field("kube-system", alias="multusNamespace")
    namespace_isolation: bool = Field(False, alias="namespaceIsolation")
    global_namespaces: StrictStr = Field("", alias="globalNamespaces")
    retry_delete_on_error: bool = Field(False, alias="retryDeleteOnError")
    log_options: dict[str, Any] = Field({}, alias="logOptions")
