"""A node for a test: a network namespace as the host, others as pods, directories for records."""

from __future__ import annotations

import ctypes
import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import skel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CLONE_NEWNET = 0x40000000
_CARRIER = ("NO-CARRIER", "LOWER_UP", "M-DOWN")  # flags that change by themselves, a little later
_libc = ctypes.CDLL(None, use_errno=True)


class Reply(NamedTuple):
    """What a plugin said: exit status, and its JSON (None for no output)."""

    status: int
    value: Any

    def ok(self) -> Any:
        assert self.status == 0, self.value
        return self.value

    def error(self, code: int | None = None) -> dict[str, Any]:
        assert self.status == 1, f"expected an error, got {self.value}"
        if code is not None:
            assert self.value["code"] == code, self.value
        return dict(self.value)


class Process:
    """A plugin that runs; `finish` waits for what it says."""

    def __init__(self, argv: list[str], environ: dict[str, str], stdin: bytes) -> None:
        self._popen = subprocess.Popen(
            argv, env=environ, cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._stdin: bytes | None = stdin

    @property
    def pid(self) -> int:
        return self._popen.pid

    def feed(self) -> None:
        """Give it its configuration without waiting for the end."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(self._stdin or b"")
        self._popen.stdin.close()
        self._popen.stdin = None
        self._stdin = None

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def finish(self, seconds: float = 60) -> Reply:
        """Its one JSON object; more or less than that on standard output is a failure."""
        try:
            stdout, stderr = self._popen.communicate(self._stdin, timeout=seconds)
        finally:
            self._popen.kill()
        assert b"Traceback" not in stderr, stderr.decode()
        return Reply(self._popen.returncode, json.loads(stdout) if stdout else None)


class Pod:
    """A network namespace held by a file descriptor; its path is good until `destroy`."""

    def __init__(self, name: str) -> None:
        self.name = name
        with _new_namespace() as fd:
            self.fd = os.dup(fd)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.ip("link", "set", "lo", "down")

    def destroy(self) -> None:
        os.close(self.fd)
        self.fd = -1

    def run(self, *argv: str) -> str:
        return _run("nsenter", f"--net={self.path}", *argv)

    def ip(self, *argv: str) -> Any:
        return _json(self.run("ip", "-j", "-d", *argv))

    def link(self, name: str) -> dict[str, Any]:
        return dict(self.ip("link", "show", name)[0])

    def links(self) -> list[str]:
        return [each["ifname"] for each in self.ip("link")]

    def addresses(self, name: str) -> list[str]:
        return _addresses(self.ip("address", "show", name))

    def sysctl(self, key: str) -> str:
        return self.run("cat", f"/proc/sys/{key}").strip()

    def routes(self, family: str = "-4") -> list[dict[str, Any]]:
        return list(self.ip(family, "route"))


class _Stdout(io.BytesIO):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def write(self, data: Any, /) -> int:
        self._node.before_answer()
        return super().write(data)


class Node:
    """The host of a test. `call` runs a plugin in this process, as the skeleton would be run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.run_dir = root / "run"
        self.pods: list[Pod] = []
        self.bin_path = "/usr/lib/cni"
        #: runs in a call, before its answer can be seen
        self.before_answer: Callable[[], object] = lambda: None
        self.ip("link", "set", "lo", "up")

    def pod(self, name: str = "pod") -> Pod:
        self.pods.append(Pod(f"{name}{len(self.pods)}"))
        return self.pods[-1]

    def environ(
        self, command: str, pod: Pod | None = None, ifname: str = "eth0", **extra: str
    ) -> dict[str, str]:
        environ = {
            "CNI_COMMAND": command,
            "CNI_PATH": self.bin_path,
            "PATH": os.environ["PATH"],
            "PLAIT_STATE_DIR": str(self.state),
            "PLAIT_RUN_DIR": str(self.run_dir),
        }
        if pod is not None:
            environ |= {"CNI_CONTAINERID": pod.name, "CNI_IFNAME": ifname}
            environ["CNI_NETNS"] = pod.path if pod.fd >= 0 else "/nonexistent/netns"
        return environ | extra

    def call(
        self,
        command: str,
        conf: dict[str, Any],
        pod: Pod | None = None,
        ifname: str = "eth0",
        **extra: str,
    ) -> Reply:
        environ = self.environ(command, pod, ifname, **extra)
        return self.raw(conf["type"], environ, json.dumps(conf).encode())

    def raw(self, plugin: str, environ: dict[str, str], stdin: bytes) -> Reply:
        stdout = _Stdout(self)
        status = skel.main(plugin, environ, io.BytesIO(stdin), stdout, io.BytesIO())
        text = stdout.getvalue()
        return Reply(status, json.loads(text) if text else None)

    def run(self, *argv: str) -> str:
        return _run(*argv)

    def start(
        self, command: str, conf: dict[str, Any], pod: Pod, ifname: str = "eth0", **extra: str
    ) -> Process:
        """The call in a process of its own, as a runtime makes it."""
        environ = self.environ(command, pod, ifname, **extra) | {"PYTHONPATH": _PROJECT}
        return Process(
            [sys.executable, "-m", "cni", conf["type"]], environ, json.dumps(conf).encode()
        )

    def foreign(
        self, command: str, conf: dict[str, Any], pod: Pod, ifname: str = "eth0", **extra: str
    ) -> Reply:
        """The call as `call` makes it, of the original's executable in `bin_path`."""
        done = subprocess.run(
            [f"{self.bin_path}/{conf['type']}"],
            env=self.environ(command, pod, ifname, **extra),
            input=json.dumps(conf).encode(), capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return Reply(done.returncode, json.loads(done.stdout) if done.stdout else None)

    def ip(self, *argv: str) -> Any:
        return _json(_run("ip", "-j", "-d", *argv))

    def link(self, name: str) -> dict[str, Any]:
        return dict(self.ip("link", "show", name)[0])

    def links(self) -> list[str]:
        return [each["ifname"] for each in self.ip("link")]

    def addresses(self, name: str) -> list[str]:
        return _addresses(self.ip("address", "show", name))

    def sysctl(self, key: str) -> str:
        with open(f"/proc/sys/{key}") as file:  # of the namespace that this process is in
            return file.read().strip()

    def port(self, pod: Pod, ifname: str = "eth0") -> dict[str, Any]:
        """The host's end of a pod's veth."""
        index = pod.link(ifname)["link_index"]
        return next(each for each in self.ip("link") if each["ifindex"] == index)

    def nft(self) -> str:
        return _run("nft", "list", "ruleset")

    def nft_rules(self, table: str, chain: str) -> list[str]:
        """The rules of a chain as nft writes them; none when there is no such chain."""
        done = subprocess.run(
            ["nft", "list", "chain", *table.split(), chain],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = [line.strip() for line in done.stdout.splitlines()]
        return [
            x
            for x in lines
            if x and not x.startswith(("table ", "chain ", "type ", "comment ", "}"))
        ]

    def leases(self) -> list[tuple[str, str, str]]:
        """Who leases what: (container, interface, address)."""
        database = self.state / "plait" / "leases.db"
        if not database.exists():
            return []
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT container_id, ifname, address FROM lease").fetchall()
        return sorted((cid, ifname, str(ip_address(packed))) for cid, ifname, packed in rows)

    def snapshot(self, *pods: Pod) -> list[str]:
        """What an ADD that failed must have left as it was, one line for each thing."""
        # rules carry comments behind them; tables and chains, which stay, have theirs alone
        world = [f"nft {x.strip()}" for x in self.nft().splitlines() if ' comment "' in x]
        world += [f"file {each.relative_to(self.state)}" for each in self._records()]
        world += [f"lease {' '.join(each)}" for each in self.leases()]
        views: list[tuple[str, Node | Pod]] = [("host", self), *((p.name, p) for p in pods)]
        for name, each in views:
            shown = [*_links(each.ip("address")), *_routes(each.ip("-4", "route"))]
            shown += [x for x in _routes(each.ip("-6", "route")) if "proto boot" in x]
            world += [f"{name} {line}" for line in shown]
        return sorted(world)

    def _records(self) -> list[Path]:
        found = self.state.rglob("*") if self.state.exists() else []
        # the lease database stays; what matters is what is in it
        return [p for p in found if p.is_file() and "leases" not in p.name and "lock" not in p.name]


def _links(shown: Any) -> list[str]:
    lines = []
    for each in shown:
        names = ("ifname", "address", "mtu", "master", "ifalias", "altnames")
        facts = [f"{name} {each[name]}" for name in names if name in each]
        facts.append(",".join(f for f in each["flags"] if f not in _CARRIER))
        # fe80:: comes by itself with the first carrier
        held = [a for a in each["addr_info"] if a["scope"] != "link"]
        addresses = sorted(f"{a['local']}/{a['prefixlen']}" for a in held)
        lines.append(" ".join(["link", *facts, *addresses]))
    return lines


def _routes(shown: Any) -> list[str]:
    return [
        f"route {each['dst']} via {each.get('gateway')} dev {each.get('dev')}"
        f" proto {each.get('protocol')} metric {each.get('metric')}"
        for each in shown
    ]


def _addresses(shown: Any) -> list[str]:
    return [
        f"{a['local']}/{a['prefixlen']}" for a in shown[0]["addr_info"] if a["scope"] == "global"
    ]


@contextmanager
def _new_namespace() -> Iterator[int]:
    """The process in a new namespace while the body runs; yields a descriptor of it."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        new = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            yield new
        finally:
            os.close(new)
    finally:
        _libc.setns(own, _CLONE_NEWNET)
        os.close(own)


@contextmanager
def fresh_node(root: Path) -> Iterator[Node]:
    with _new_namespace():
        node = Node(root)
        try:
            yield node
        finally:
            for pod in node.pods:
                if pod.fd >= 0:
                    pod.destroy()


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def _json(text: str) -> Any:
    return json.loads(text) if text.strip() else []


def down_and_up(pod: Pod, ifname: str) -> None:
    """Down and up again."""
    for state in ("down", "up"):
        pod.ip("link", "set", ifname, state)
