"""Fixtures: the plugins under test on a node of their own, and the clients on that node.

PLAIT_BIN           the plugins' directory, <repository>/build/bin when unset
PLAIT_CLIENT_IPAM   "host-local" to hold the tests against the Go plugins, which lack whereabouts
PLAIT_CNITOOL       a cnitool other than the one that `install` builds
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import cnitool, image
from .cnitool import Cnitool
from .containerd import Containerd
from .node import Node
from .podman import Podman

REPOSITORY = Path(__file__).parents[2]
#: Of Debian's package; used only for what the directory under test does not have.
DEBIAN_PLUGINS = Path("/usr/lib/cni")
PROGRAMS = ("unshare", "nsenter", "ip", "busybox", "containerd", "ctr", "runc", "podman", "conmon")


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """A client that is missing is an error of the machine, and no reason to pass."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not cnitool.executable().exists():
        missing.append("cnitool")
    if missing:
        pytest.fail(f"{', '.join(missing)} missing: run tests/clients/install")
    if os.geteuid() != 0:
        pytest.fail("tests/clients make namespaces: run them as root")


@pytest.fixture(scope="session")
def plugins() -> dict[str, Path]:
    """The executables under test, by type."""
    directory = Path(os.environ.get("PLAIT_BIN") or REPOSITORY / "build" / "bin")
    if not directory.is_dir():
        pytest.fail(f"no plugins in {directory}: build them, or set PLAIT_BIN")
    found = (file for file in directory.absolute().iterdir() if not file.name.startswith("."))
    return {file.name: file for file in found if file.is_file() and os.access(file, os.X_OK)}


@pytest.fixture
def node(plugins: dict[str, Path], tmp_path: Path) -> Iterator[Node]:
    """A fresh node with the plugins under test, and no networks yet."""
    with Node(tmp_path / "node") as node:
        for plugin in plugins.values():
            node.plugins.add(plugin)
        yield node


@pytest.fixture
def with_host_local(node: Node, plugins: dict[str, Path]) -> None:
    """host-local on the node, ours if we have it."""
    if "host-local" not in plugins:
        node.plugins.add(DEBIAN_PLUGINS / "host-local")


@pytest.fixture
def with_multus(plugins: dict[str, Path]) -> None:
    """Excuses other people's plugin directories from the tests of multus, not ours."""
    if "multus" not in plugins:
        if "plait" in plugins or not os.environ.get("PLAIT_BIN"):
            pytest.fail("our build has no multus")
        pytest.skip("PLAIT_BIN has no multus")


@pytest.fixture(scope="session")
def image_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("image") / "busybox.tar"
    image.write(archive)
    return archive


@pytest.fixture
def cni(node: Node) -> Cnitool:
    return Cnitool(node)


@pytest.fixture
def containerd(node: Node, image_archive: Path) -> Iterator[Containerd]:
    with Containerd(node) as daemon:
        daemon.load(image_archive)
        yield daemon


@pytest.fixture
def podman(node: Node, image_archive: Path) -> Podman:
    client = Podman(node)
    client.load(image_archive)
    return client
