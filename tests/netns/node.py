"""A node for a test: a network namespace as the host, others as pods, directories for records."""

from __future__ import annotations

import ctypes
import io
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import skel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLONE_NEWNET = 0x40000000
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

    def addresses(self, name: str) -> list[str]:
        return _addresses(self.ip("address", "show", name))

    def routes(self, family: str = "-4") -> list[dict[str, Any]]:
        return list(self.ip(family, "route"))


class Node:
    """The host of a test. `call` runs a plugin in this process, as the skeleton would be run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.run_dir = root / "run"
        self.pods: list[Pod] = []
        self.bin_path = "/usr/lib/cni"
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
        stdout = io.BytesIO()
        status = skel.main(plugin, environ, io.BytesIO(stdin), stdout, io.BytesIO())
        text = stdout.getvalue()
        return Reply(status, json.loads(text) if text else None)

    def ip(self, *argv: str) -> Any:
        return _json(_run("ip", "-j", "-d", *argv))

    def link(self, name: str) -> dict[str, Any]:
        return dict(self.ip("link", "show", name)[0])

    def links(self) -> list[str]:
        return [each["ifname"] for each in self.ip("link")]

    def addresses(self, name: str) -> list[str]:
        return _addresses(self.ip("address", "show", name))

    def nft(self) -> str:
        return _run("nft", "list", "ruleset")

    def snapshot(self, *pods: Pod) -> dict[str, Any]:
        """What an ADD that failed must have left as it was."""
        world: dict[str, Any] = {
            # rules carry comments behind them; tables and chains, which stay, have theirs alone
            "nft": [line for line in self.nft().splitlines() if ' comment "' in line],
            "files": sorted(str(p.relative_to(self.state)) for p in self._records()),
        }
        views: list[tuple[str, Node | Pod]] = [("host", self), *((p.name, p) for p in pods)]
        for name, each in views:
            world[name] = _stable(
                each.ip("address"), each.ip("-4", "route"), each.ip("-6", "route")
            )
        return world

    def _records(self) -> list[Path]:
        found = self.state.rglob("*") if self.state.exists() else []
        # the lease database stays; what matters is what is in it
        return [p for p in found if p.is_file() and "leases" not in p.name and "lock" not in p.name]


def _stable(addresses: Any, routes4: Any, routes6: Any) -> Any:
    links = [
        {
            key: each.get(key)
            for key in ("ifname", "address", "mtu", "flags", "master", "ifalias", "altnames")
        }
        | {"addr_info": sorted(f"{a['local']}/{a['prefixlen']}" for a in each["addr_info"])}
        for each in addresses
    ]
    return {"links": links, "routes": routes4 + [r for r in routes6 if r.get("protocol") == "boot"]}


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
