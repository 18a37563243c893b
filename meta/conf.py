"""Models of the meta plugins' own keys. Declarative only: the build lowers them to schemas.

Numbers and strings must be what they say, booleans may be what Go configurations hold ("true").
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictFloat, StrictInt, StrictStr

Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Rate = Annotated[StrictInt, Field(ge=0)]
Seconds = Annotated[StrictFloat, Field(ge=0, le=600)]
Megabytes = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
Backups = Annotated[StrictInt, Field(ge=0, le=100)]
Attempts = Annotated[StrictInt, Field(ge=0, le=100)]


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


class LogOptions(BaseModel):
    """The log file's size in MB and how many older ones stay; 0: no limit, none.

    Age and compression are not known here: a tool that owns the file may see to them.
    """

    max_size: Megabytes = Field(default=100, alias="maxSize")
    max_backups: Backups = Field(default=5, alias="maxBackups")


class ApiServer(BaseModel):
    """How long to wait for the API server, in seconds; 0 and absent keys mean the default."""

    connect: Seconds = Field(0, alias="connectSeconds")
    call: Seconds = Field(0, alias="callSeconds")  # one answer
    total: Seconds = Field(0, alias="totalSeconds")  # all that one CNI call waits
    attempts: Attempts = 0


class Multus(BaseModel):
    """multus: the keys of the original, and below them ours."""

    conf_dir: StrictStr = Field("", alias="confDir")  # empty: /etc/cni/multus/net.d
    cni_dir: StrictStr = Field("", alias="cniDir")  # empty: multus/ of the state directory
    bin_dir: StrictStr = Field("", alias="binDir")  # empty: /opt/cni/bin
    kubeconfig: StrictStr = ""
    delegates: list[dict[str, Any]] = []
    cluster_network: StrictStr = Field("", alias="clusterNetwork")
    default_networks: list[StrictStr] = Field([], alias="defaultNetworks")
    system_namespaces: list[StrictStr] = Field(["kube-system"], alias="systemNamespaces")
    multus_namespace: StrictStr = Field("kube-system", alias="multusNamespace")
    namespace_isolation: bool = Field(False, alias="namespaceIsolation")
    global_namespaces: StrictStr = Field("", alias="globalNamespaces")  # empty: default
    readiness_indicator_file: StrictStr = Field("", alias="readinessindicatorfile")
    auxiliary_cni_chain_name: StrictStr = Field("", alias="auxiliaryCNIChainName")
    disable_gc: bool = Field(False, alias="disableGC")
    log_file: StrictStr = Field("", alias="logFile")
    log_level: StrictStr = Field("", alias="logLevel")
    log_to_stderr: bool = Field(True, alias="logToStderr")
    log_options: LogOptions = Field(LogOptions(), alias="logOptions")
    # accepted, not read: records always stay until all is deleted
    retry_delete_on_error: bool = Field(False, alias="retryDeleteOnError")

    attachments: list[Selection] = []  # what a pod's annotation is where there are no pods
    api_server: ApiServer | None = Field(None, alias="apiServer")
    events: bool = True  # whether the pod's events tell of its interfaces
    missing_pod: Literal["succeed", "fail"] = Field("succeed", alias="missingPod")
    unmet_requests: Literal["warn", "fail"] = Field("warn", alias="unmetRequests")
    kubelet_dir: StrictStr = Field("", alias="kubeletDir")  # empty: /var/lib/kubelet
