"""Two runtimes that execute a network as it lies in a file: cnitool, and one of our own.

cnitool is libcni itself; where nobody has built it, the other does what the specification and
libcni do: the chain, prevResult, runtimeConfig by capability. Both see the node's well-known
directories (/etc/cni, /opt/cni/bin, /var/lib/cni) replaced by the test's.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.conformance.node import GO, OURS, PATIENCE, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod

_WITH_DIRECTORIES = Path(__file__).with_name("with-cni-directories")
#: ours as a node has them installed, Debian's for what is not ours
_PATH = (Path("/opt/cni/bin"), GO)


def cnitool() -> Path:
    """PLAIT_CNITOOL, or where tests/clients/install has built it; it need not be there."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PLAIT_CNITOOL") or Path(cache) / "plait" / "cnitool")


class Wishes(NamedTuple):
    """What the runtime was told beside the network: capability arguments and CNI_ARGS."""

    capabilities: Mapping[str, Any] = {}
    args: str = ""


class Runtime(Protocol):
    """Adds a pod to a network, checks it, deletes it."""

    def add(self, file: Path, pod: Pod, wishes: Wishes) -> Json: ...
    def check(self, file: Path, pod: Pod, wishes: Wishes) -> None: ...
    def delete(self, file: Path, pod: Pod, wishes: Wishes) -> None: ...


class Directories:
    """The node's /etc/cni, /var/lib/cni and /run while a command runs."""

    def __init__(self, node: Node) -> None:
        self.root = node.root / "node"
        self.etc = self.root / "etc"
        self.etc.mkdir(parents=True)

    def run(
        self, argv: Sequence[str | Path], environ: Mapping[str, str], stdin: bytes = b""
    ) -> Reply:
        done = subprocess.run(
            [_WITH_DIRECTORIES, self.root, OURS, *argv],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **environ},
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Reply(done.returncode, done.stdout.decode(), done.stderr.decode())


class Cnitool:
    """The CNI project's own."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    def add(self, file: Path, pod: Pod, wishes: Wishes) -> Json:
        return self._run("add", file, pod, wishes).result()

    def check(self, file: Path, pod: Pod, wishes: Wishes) -> None:
        assert self._run("check", file, pod, wishes).status == 0

    def delete(self, file: Path, pod: Pod, wishes: Wishes) -> None:
        assert self._run("del", file, pod, wishes).status == 0

    def _run(self, verb: str, file: Path, pod: Pod, wishes: Wishes) -> Reply:
        environ = {
            "NETCONFPATH": str(file.parent),
            "CNI_PATH": ":".join(map(str, _PATH)),
            "CNI_ARGS": wishes.args,
            "CAP_ARGS": json.dumps(wishes.capabilities),
        }
        name = json.loads(file.read_text())["name"]
        reply = self._directories.run([cnitool(), verb, name, pod.path], environ)
        assert reply.status == 0, reply
        return reply


class Libcni:
    """The part of libcni that a chain needs; results are kept in memory, not in /var/lib/cni."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._results: dict[tuple[str, str], Json] = {}

    def add(self, file: Path, pod: Pod, wishes: Wishes) -> Json:
        result: Json | None = None
        for plugin in self._plugins(file):
            reply = self._call("ADD", plugin, pod, wishes, result)
            result = reply.result()
        assert result is not None
        self._results[str(file), pod.container_id] = result
        return result

    def check(self, file: Path, pod: Pod, wishes: Wishes) -> None:
        result = self._results[str(file), pod.container_id]
        for plugin in self._plugins(file):
            self._call("CHECK", plugin, pod, wishes, result).silent()

    def delete(self, file: Path, pod: Pod, wishes: Wishes) -> None:
        result = self._results.pop((str(file), pod.container_id), None)
        for plugin in reversed(self._plugins(file)):
            if plugin["cniVersion"] < "0.4.0":
                result = None
            self._call("DEL", plugin, pod, wishes, result).silent()

    def _plugins(self, file: Path) -> list[Json]:
        network = json.loads(file.read_text())
        common = {"name": network["name"], "cniVersion": network.get("cniVersion", "")}
        return [{**each, **common} for each in network.get("plugins", [network])]

    def _call(
        self, verb: str, plugin: Json, pod: Pod, wishes: Wishes, result: Json | None
    ) -> Reply:
        conf = dict(plugin)
        if result is not None:
            conf["prevResult"] = result
        declared = [key for key, on in conf.get("capabilities", {}).items() if on]
        given = {key: wishes.capabilities[key] for key in declared if key in wishes.capabilities}
        if given:
            conf["runtimeConfig"] = given
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": pod.container_id,
            "CNI_NETNS": pod.path,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": ":".join(map(str, _PATH)),
            "CNI_ARGS": wishes.args,
        }
        # looked up where /opt/cni/bin is ours
        find = f"for d in {' '.join(map(str, _PATH))}; do [ ! -e $d/$0 ] || exec $d/$0; done"
        return self._directories.run(
            ["sh", "-c", find, conf["type"]], environ, json.dumps(conf).encode()
        )
