"""A node without a kernel: real executables as delegates, the plugin driven through skel."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import skel

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

#: records how it was called, then does what the test asks: `<type>.<COMMAND>` is sourced if present
_PLUGIN = """#!/bin/sh
me=${0##*/}
i=$(wc -l <"$LAB/calls")
cat >"$LAB/stdin.$i"
export -p >"$LAB/env.$i"
echo "$CNI_COMMAND $me $CNI_CONTAINERID $CNI_IFNAME" >>"$LAB/calls"
if [ -f "$LAB/$me.$CNI_COMMAND" ]; then . "$LAB/$me.$CNI_COMMAND"; fi
if [ "$CNI_COMMAND" = ADD ]; then cat "$LAB/$me.result"; fi
"""

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
}


class Reply(NamedTuple):
    """What a call left: its exit status and its standard output, parsed."""

    status: int
    out: Json

    @property
    def msg(self) -> str:
        return str(self.out.get("msg", ""))

    @property
    def code(self) -> int | None:
        return self.out.get("code")


class Node:
    """Directories, fake plugins, and calls of multus on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lab = root / "lab"
        self.bin = root / "bin"
        self.conf_dir = root / "net.d"
        self.cni_dir = root / "state" / "multus"
        self.netns = root / "netns"
        for directory in (self.lab, self.bin, self.conf_dir):
            directory.mkdir()
        (self.lab / "calls").touch()
        self.netns.touch()  # no namespace: who looks finds that it cannot

    def plugin(self, *types: str, result: Json | str = RESULT) -> None:
        for name in types:
            path = self.bin / name
            path.write_text(_PLUGIN)
            path.chmod(0o755)
            text = result if isinstance(result, str) else json.dumps(result)
            (self.lab / f"{name}.result").write_text(text)

    def on(self, name: str, command: str, script: str) -> None:
        """Let a plugin run a piece of shell; an empty one is none."""
        (self.lab / f"{name}.{command}").write_text(script)

    def fail(self, name: str, command: str, code: int = 77, msg: str = "boom") -> None:
        answer = json.dumps({"cniVersion": "1.0.0", "code": code, "msg": msg, "details": "why"})
        self.on(name, command, f"echo '{answer}'; exit 1")

    def conf(self, *delegates: Json, **keys: Any) -> Json:
        conf: Json = {
            "cniVersion": "1.1.0",
            "name": "node-net",
            "type": "multus",
            "binDir": str(self.bin),
            "confDir": str(self.conf_dir),
        }
        if delegates:
            conf["delegates"] = list(delegates)
        return {**conf, **keys}

    def environ(self, command: str, **env: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LAB": str(self.lab),
            "PLAIT_STATE_DIR": str(self.root / "state"),
            "PLAIT_RUN_DIR": str(self.root / "run"),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "cid1",
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/nowhere",
            **env,
        }

    def call(self, command: str, conf: Json, **env: str) -> Reply:
        out = io.BytesIO()
        stdin = io.BytesIO(json.dumps(conf).encode())
        status = skel.main("multus", self.environ(command, **env), stdin, out, io.BytesIO())
        return Reply(status, json.loads(out.getvalue() or b"{}"))

    def spawn(self, command: str, conf: Json, **env: str) -> subprocess.CompletedProcess[bytes]:
        """The same in a process of its own, for those that are killed."""
        return subprocess.run(
            [sys.executable, "-m", "cni", "multus"],
            input=json.dumps(conf).encode(),
            env=self.environ(command, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), **env),
            capture_output=True,
            check=False,
        )

    def calls(self) -> list[str]:
        """`COMMAND type ifname` of every call so far; forgets them."""
        lines = [line.split(" ") for line in (self.lab / "calls").read_text().splitlines()]
        (self.lab / "calls").write_text("")
        return [f"{command} {name} {ifname}".strip() for command, name, _, ifname in lines]

    def stdin(self, index: int) -> Json:
        """The standard input of a call, counted from the last `calls`."""
        found: Json = json.loads((self.lab / f"stdin.{index}").read_text())
        return found

    def env(self, index: int) -> dict[str, str]:
        """The CNI variables of a call."""
        found = {}
        for line in (self.lab / f"env.{index}").read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            if name.startswith("CNI_"):
                found[name] = value.strip("'\"")
        return found

    def scratch(self, name: str = "cid1") -> list[Json]:
        found: list[Json] = json.loads((self.cni_dir / name).read_text())
        return found

    def cached(self, name: str) -> Json:
        found: Json = json.loads((self.cni_dir / "results" / name).read_text())
        return found

    def files(self) -> list[str]:
        """All that the node remembers: records, cached results, and what is in the run directory
        (but for the gate, which is made once).
        """
        found = []
        for top in (self.cni_dir, self.root / "run" / "multus"):
            found += [
                str(path.relative_to(top)) for path in sorted(top.rglob("*")) if path.is_file()
            ]
        return [name for name in found if name != "gate"]


def b64(document: Json) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()
