"""containerd on a node, with its two ways to a network: `ctr run --cni`, and the CRI."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from . import image
from .cri import Cri
from .node import Node, until

#: Paths are containerd's own; in a node they are private.  Its root is on the node's tmpfs, where
#: an overlay can be mounted whatever the host's file system.
CONFIG = f"""\
version = 2
root = "/run/containerd/root"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.NAME}"
  disable_apparmor = true
  # A sandbox asks for a lower oom_score_adj than its parent's: in a container that is refused.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
SOCKET = "/run/containerd/containerd.sock"
#: The CRI sees only the images and containers of its own containerd namespace.
CRI_NAMESPACE = "k8s.io"


class Containerd:
    """The daemon; it can be restarted under its containers."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cri = Cri(node.path(SOCKET), node.cgroup)
        self._config = node.directory / "containerd.toml"
        self._config.write_text(CONFIG)
        self._daemon = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.close()
        self.cri.close()

    def restart(self) -> None:
        """Ends the daemon and starts it again; what runs in its containers does not notice."""
        self._daemon.close()
        self._start()

    def load(self, archive: Path) -> None:
        """Imports the image for ctr and for the CRI."""
        for namespace in ("default", CRI_NAMESPACE):
            self.node.run("ctr", "--namespace", namespace, "image", "import", archive)
        # The CRI keeps its own list, and hears of imports by an event.
        until(lambda: self.cri.has_image(image.NAME), "the CRI to find the image")

    def run(self, name: str, *command: str) -> str:
        """`ctr run --cni` of a command to its end; gives what it printed."""
        return self.node.run(*self._run(name), *command)

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """`ctr run --cni` of a container that does nothing until the block is left.

        Not detached: a detached ctr is gone when its container ends, and never sends a DEL.
        """
        log = self.node.directory / f"ctr-{name}.log"
        with self.node.running(*self._run(name), "/pause", log=log):
            until(lambda: self._is_running(name), f"the container of {log}")
            # ctr hands the signal that ends it to the container, and takes the network away.
            yield

    def _start(self) -> None:
        log = self.node.directory / "containerd.log"
        command = ("containerd", "--config", self._config)
        with ExitStack() as started:
            started.enter_context(self.node.running(*command, log=log))
            until(self.cri.is_initialized, f"the daemon of {log}")
            self._daemon = started.pop_all()

    def _is_running(self, name: str) -> bool:
        # TASK PID STATUS, below a heading
        tasks = [line.split() for line in self.node.run("ctr", "task", "list").splitlines()]
        return any((task[0], task[2]) == (name, "RUNNING") for task in tasks)

    def _run(self, name: str) -> tuple[str, ...]:
        cgroup = f"/{self.node.cgroup}/{name}"
        return ("ctr", "run", "--rm", "--cni", "--cgroup", cgroup, image.NAME, name)
