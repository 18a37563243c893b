"""Where things are on the node."""

from __future__ import annotations

import os
from typing import NamedTuple

BIN_DIR = "/opt/cni/bin"
CONF_DIR = "/etc/cni/net.d"
CNI_DIR = "/var/lib/cni/multus"

#: what another program's file is called while ours is in its place; no runtime reads such a name
KEPT = ".before-plait"


class Place(NamedTuple):
    """Directories as the node knows them; this process reaches them below `root`."""

    root: str = "/"
    bin_dir: str = BIN_DIR
    conf_dir: str = CONF_DIR

    def here(self, path: str) -> str:
        """The node's path as this process has to write it."""
        return os.path.join(self.root, path.lstrip("/"))

    @property
    def bin_here(self) -> str:
        return self.here(self.bin_dir)

    @property
    def conf_here(self) -> str:
        return self.here(self.conf_dir)

    @property
    def conflist(self) -> str:
        """Sorts before other networks' files, as in the original: a runtime takes the first."""
        return os.path.join(self.conf_here, "00-multus.conflist")

    @property
    def kubeconfig(self) -> str:
        """The node's path, for the conflist."""
        return os.path.join(self.conf_dir, "multus.d/multus.kubeconfig")
