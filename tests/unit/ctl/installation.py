"""A node in a temporary directory, for the tests of `plait install`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic  # noqa: F401  # before cni.core.load puts its stand-in there: typer needs all of it

from cni.ctl.install.installer import Installer, Wish
from cni.ctl.install.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[3]
SERVER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"

CALICO: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "name": "k8s-pod-network",
    "plugins": [
        {"type": "calico", "log_level": "info", "mtu": 0, "ipam": {"type": "calico-ipam"}},
        {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True, "mac": False}},
    ],
}
OTHER: dict[str, Any] = {"cniVersion": "1.0.0", "name": "other", "type": "bridge"}
ORIGINAL: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "name": "multus-cni-network",
    "type": "multus",
    "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
    "delegates": [CALICO],
}


def make_release(directory: Path, release: str = "1-aaa") -> Path:
    """A directory of plugins as the build lays it out, its executable being a script."""
    folder = directory / ".plait"
    folder.mkdir(parents=True)
    (folder / "plait").write_text(f"#!/bin/sh\necho {release} ${{0##*/}}\n")
    (folder / "plait").chmod(0o755)
    shutil.copy(REPOSITORY / "packaging/install", folder)
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name in ("install", "plait")
        )
    )
    (folder / "release").write_text(f"{release}\n")
    (directory / "plait").symlink_to(".plait/plait")
    for each in ("bridge", "multus"):
        (directory / each).symlink_to("plait")
    return directory


class Node:
    """A root with the runtime's directories, a service account, and a release to install."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "host"
        self.bin = self.root / "opt/cni/bin"
        self.conf = self.root / "etc/cni/net.d"
        self.conflist = self.conf / "00-multus.conflist"
        self.kubeconfig = self.conf / "multus.d/multus.kubeconfig"
        self.account = directory / "account"
        self.source = make_release(directory / "release")
        for each in (self.bin, self.conf, self.account):
            each.mkdir(parents=True)
        self.give_account("token-1")
        self.put("10-calico.conflist", CALICO)
        self.time = 1000.0

    def put(self, name: str, content: object) -> Path:
        """A file among the runtime's configurations; text as it is, else as JSON."""
        path = self.conf / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def give_account(self, token: str, authority: str = "QQ==") -> None:
        (self.account / "token").write_text(token)
        (self.account / "ca.crt").write_text(CERTIFICATE % authority)
        (self.account / "namespace").write_text("kube-system")

    def installer(self, *, patience: float = 0.0, **wish: Any) -> Installer:
        asked = Wish(
            place=wish.pop("place", Place(str(self.root))),
            source=str(wish.pop("source", self.source)),
            options=wish.pop("options", {}),
            account=str(self.account),
        )._replace(**wish)
        return Installer(asked, SERVER, patience=patience, clock=lambda: self.time)

    def install(self, **wish: Any) -> Installer:
        """One run of the tool."""
        installer = self.installer(**wish)
        installer.run()
        return installer

    def arguments(self, *more: str) -> list[str]:
        """The same as a command line, which needs SERVER in its environment."""
        places = ["--root", str(self.root), "--source", str(self.source)]
        return ["install", *places, "--service-account", str(self.account), *more]

    @property
    def listed(self) -> Any:
        return json.loads(self.conflist.read_bytes())

    @property
    def plugin(self) -> Any:
        (plugin,) = self.listed["plugins"]
        return plugin

    @property
    def token(self) -> str:
        (user,) = json.loads(self.kubeconfig.read_bytes())["users"]
        return str(user["user"]["token"])

    def seen_by_runtime(self) -> list[str]:
        """The files that a runtime reads, in its order."""
        return sorted(
            each.name
            for each in self.conf.iterdir()
            if each.suffix in (".conf", ".conflist", ".json") and each.is_file()
        )

    def content(self) -> dict[str, str | bytes]:
        """Everything below the root, by its path."""
        return self._each(
            lambda path: os.readlink(path) if path.is_symlink() else path.read_bytes()
        )

    def identities(self) -> dict[str, tuple[int, int]]:
        """Inode and time of change of everything."""
        return self._each(lambda path: (path.lstat().st_ino, path.lstat().st_mtime_ns))

    def _each(self, look: Callable[[Path], Any]) -> dict[str, Any]:
        return {
            str(path.relative_to(self.root)): look(path)
            for path in self.root.rglob("*")
            if path.is_symlink() or path.is_file()
        }
