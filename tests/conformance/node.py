"""A node: a namespace as the host, others as pods, directories for records, plugins as processes.

The executables are those of the directory PLAIT_BIN, by default `build/bin` of the repository.
With PLAIT_TEST_AGENT=1 each node has an agent, which the calls are handed to that it takes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.conformance.kernel import Json, Netns, new_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = Path(os.environ.get("PLAIT_BIN") or REPOSITORY / "build" / "bin").absolute()
#: the Go originals, as Debian ships them
GO = Path("/usr/lib/cni")

#: whether each node has an agent
AGENT = bool(os.environ.get("PLAIT_TEST_AGENT"))

#: seconds that no call needs; it ends a hang and measures nothing
PATIENCE = 60.0


def types() -> list[str]:
    """The plugins under test, by type name."""
    names = (each.name for each in OURS.iterdir()) if OURS.is_dir() else ()
    return sorted(name for name in names if not name.startswith(".") and name != "plait")


class Reply(NamedTuple):
    """How one call of a plugin ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str

    def result(self) -> Json:
        """The one JSON object of a call that succeeded."""
        assert self.status == 0, self
        return self._object()

    def silent(self) -> None:
        """It succeeded and had nothing to say."""
        assert (self.status, self.stdout) == (0, ""), self

    def error(self, code: int | None = None) -> Json:
        """The error object of a call that failed as the specification has it."""
        assert self.status == 1, self
        found = self._object()
        assert found.keys() <= {"cniVersion", "code", "msg", "details"}, self
        assert isinstance(found["cniVersion"], str), self
        assert type(found["code"]) is int, self
        assert isinstance(found["msg"], str) and found["msg"], self
        assert isinstance(found.get("details", ""), str), self
        assert "Traceback" not in self.stderr, self
        if code is not None:
            assert found["code"] == code, self
        return found

    def _object(self) -> Json:
        found = json.loads(self.stdout)  # fails on anything around it
        assert isinstance(found, dict), self
        return found


class Pod:
    """A container: its ID, and its namespace, which lives until `destroy`."""

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id
        with new_namespace() as fd:
            self._fd = os.dup(fd)
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.net = Netns(self.path)

    @property
    def exists(self) -> bool:
        return self._fd >= 0

    def destroy(self) -> None:
        if self.exists:
            os.close(self._fd)
        self._fd = -1
        self.path = "/nonexistent/netns"


class Node:
    """The host of a test: this thread is in it while the fixture lasts."""

    def __init__(self, root: Path, run_dir: Path | None = None) -> None:
        self.root = root
        self.state = root / "state"
        self.run_dir = run_dir or root / "run"
        self.net = Netns()
        self.net.run("ip", "link", "set", "lo", "up")
        self._pods: list[Pod] = []

    def pod(self, name: str = "pod") -> Pod:
        self._pods.append(Pod(f"{name}{len(self._pods)}"))
        return self._pods[-1]

    def close(self) -> None:
        for pod in self._pods:
            pod.destroy()

    def device(self, name: str, *, wire: str = "up", **attributes: str) -> None:
        """Something that can be given to a pod: one end of a veth pair, as every kernel has it.

        `wire` is the state of the other end: while it is down, the device has no carrier.
        """
        self.net.run("ip", "link", "add", name, "type", "veth", "peer", f"{name}-wire")
        self.net.run("ip", "link", "set", f"{name}-wire", wire)
        for key, value in attributes.items():
            self.net.run("ip", "link", "set", name, key, value)

    def environ(
        self,
        command: str,
        pod: Pod | None = None,
        ifname: str = "eth0",
        path: Sequence[Path] = (OURS, GO),
    ) -> dict[str, str]:
        """All that a call finds in its environment."""
        environ = {
            "CNI_COMMAND": command,
            "CNI_PATH": ":".join(map(str, path)),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PLAIT_STATE_DIR": str(self.state),
            "PLAIT_RUN_DIR": str(self.run_dir),
        }
        if pod is not None:
            environ["CNI_CONTAINERID"] = pod.container_id
            environ["CNI_NETNS"] = pod.path
            environ["CNI_IFNAME"] = ifname
        return environ

    def call(
        self,
        command: str,
        conf: Mapping[str, Any],
        pod: Pod | None = None,
        *,
        ifname: str = "eth0",
        path: Sequence[Path] = (OURS, GO),
        extra: Mapping[str, str] | None = None,
    ) -> Reply:
        """One call of the plugin that `conf` names, found on `path` as a runtime finds it."""
        environ = {**self.environ(command, pod, ifname, path), **(extra or {})}
        return execute(find(conf["type"], path), environ, json.dumps(conf).encode())

    def start(self, command: str, conf: Mapping[str, Any], pod: Pod) -> subprocess.Popen[bytes]:
        """A call of ours, running: no shell is between, a signal meets it and nothing else."""
        stdin = self.root / "stdin.json"
        stdin.write_text(json.dumps(conf))
        with stdin.open("rb") as file:
            return subprocess.Popen(
                [find(conf["type"], (OURS,))],
                env=self.environ(command, pod),
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def leases(self) -> list[tuple[str, str, str, str]]:
        """(network, container ID, interface, address) of whereabouts' records."""
        database = self.state / "plait" / "leases.db"
        if not database.exists():
            return []
        # a copy: whoever opens the database itself may tidy up what a killed ADD left
        with tempfile.TemporaryDirectory(dir=self.root) as copy:
            for each in database.parent.glob("leases.db*"):
                shutil.copy(each, copy)
            connection = sqlite3.connect(Path(copy) / database.name)
            try:
                rows = connection.execute(
                    "SELECT network, container_id, ifname, hex(address) FROM lease ORDER BY 1, 2, 3"
                )
                return list(rows)
            except sqlite3.OperationalError as error:
                # a first ADD that was killed has made the file and not yet the tables
                assert "no such table" in str(error)
                return []
            finally:
                connection.close()

    def files(self) -> list[str]:
        """Records on disk, below both directories; locks, the lease database, and what host-local
        keeps of a network without leases stay.
        """
        roots = (self.state, self.run_dir)
        found = [each for root in roots for each in root.rglob("*") if each.is_file()]
        return sorted(
            str(each.relative_to(self.root))
            for each in found
            if not each.name.startswith(("leases.", "last_reserved_ip."))
            and not each.name.endswith(".lock")
            and each.name not in ("gate", "lock")
            and each.parent.name != ".plait"
            and each.parent.name != "multus-deleted"  # marks, which end by themselves
        )

    def traces(self, *pods: Pod) -> Json:
        """What an ADD makes and a DEL must take away, to be compared before and after.

        A bridge outlives its containers, with its addresses: both are left out.
        """
        links = self.net.links()
        bridges = {name for name, each in links.items() if _kind(each) == "bridge"}
        world: Json = {name: _facts(each) for name, each in links.items() if name not in bridges}
        for number, pod in enumerate(pods):
            world[f"pod {number}"] = {k: _facts(v) for k, v in pod.net.links().items()}
        return {
            "links": world,
            "rules": self.net.rules(),
            "leases": self.leases(),
            "files": self.files(),
        }


def _kind(link: Json) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))


def _facts(link: Json) -> Json:
    keys = ("ifalias", "address", "mtu", "master", "altnames", "promiscuity")
    return {
        "up": "UP" in link["flags"],
        "addresses": sorted(a["local"] for a in link["addr_info"] if a["scope"] == "global"),
        **{key: link[key] for key in keys if link.get(key)},
    }


def find(plugin_type: str, path: Sequence[Path]) -> Path:
    for directory in path:
        if (directory / plugin_type).is_file():
            return directory / plugin_type
    raise FileNotFoundError(f"no plugin {plugin_type} in {[str(each) for each in path]}")


def execute(executable: Path, environ: Mapping[str, str], stdin: bytes = b"", **how: Any) -> Reply:
    """Run an executable to its end; `how` goes to subprocess.run."""
    done = subprocess.run(
        [executable],
        env=dict(environ),
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        **how,
    )
    return Reply(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


@contextmanager
def fresh_node(root: Path, run_dir: Path | None = None) -> Iterator[Node]:
    with new_namespace():
        node = Node(root, run_dir)
        try:
            with agent(node) if AGENT else nullcontext():
                yield node
        finally:
            node.close()


@contextmanager
def agent(node: Node, *arguments: str, executable: Path = OURS / "plait") -> Iterator[Agent]:
    """An agent of the node that listens; it has ended when the body has."""
    process = subprocess.Popen(
        [executable, "agent", *arguments],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PLAIT_RUN_DIR": str(node.run_dir)},
        stderr=subprocess.PIPE,
    )
    try:
        yield Agent(process)
    finally:
        process.terminate()
        try:
            _, said = process.communicate(timeout=5)
            Agent.calls += sum(map(int, re.findall(rb"it took (\d+) calls", said)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Agent:
    """The resident process, and what it says."""

    calls = 0  #: that all of them have taken

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said = b""
        self.hear(b" listens at ")

    def hear(self, words: bytes) -> None:
        """Wait until it has said them once more."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if words in line:
                return
        raise AssertionError(f"the agent has ended: {self.said!r}")
