"""podman on a node, with CNI as its network backend."""

import json
from pathlib import Path
from typing import Any

from . import image
from .node import Node

CONTAINERS = """\
[containers]
# podman asks for as much as it may have itself, and is refused where that is less than unlimited.
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"

[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
cni_plugin_dirs = ["/opt/cni/bin"]
"""
#: On the node's tmpfs, and without the kernel's overlay: one small layer is quickly copied.
STORAGE = """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/run/containers/graph"
"""


class Podman:
    """The command, with a configuration that knows this node and nothing else."""

    def __init__(self, node: Node) -> None:
        self.node = node
        containers = node.directory / "containers.conf"
        storage = node.directory / "storage.conf"
        containers.write_text(CONTAINERS)
        storage.write_text(STORAGE)
        self._environment = {
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def __call__(self, *arguments: str | Path) -> str:
        """`podman ARGUMENTS`, which must succeed; gives what it printed."""
        return self.node.run("podman", *arguments, env=self._environment)

    def load(self, archive: Path) -> None:
        self("load", "--quiet", "--input", archive)

    def run(self, *options: str, command: tuple[str, ...] = ()) -> str:
        """`podman run` of the test image in the node's control group."""
        cgroup = f"/{self.node.cgroup}"
        return self("run", "--cgroup-parent", cgroup, *options, image.NAME, *command)

    def networks(self, container: str) -> dict[str, dict[str, Any]]:
        """The networks of a container as podman knows them, by name."""
        (found,) = json.loads(self("container", "inspect", container))
        networks: dict[str, dict[str, Any]] = found["NetworkSettings"]["Networks"]
        return networks
