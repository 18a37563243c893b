"""An IPAM plugin on a node of its own: a state directory, and calls through the skeleton."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.core import skel
from cni.core.types import Attachment
from ipam.addresses import parse_ip
from ipam.bounds import RangeText, read
from ipam.stores import Ask, Owner
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Json = dict[str, Any]


class Reply(NamedTuple):
    """What a plugin said: exit status, and its JSON (None for no output)."""

    status: int
    value: Any

    def ok(self) -> Any:
        assert self.status == 0, self.value
        return self.value

    def ips(self) -> list[str]:
        return [each["address"] for each in self.ok().get("ips", [])]

    def error(self, code: int) -> str:
        """The text of the error, which must have this code."""
        assert self.status == 1, f"expected an error, got {self.value}"
        assert self.value["code"] == code, self.value
        return f"{self.value['msg']}; {self.value.get('details', '')}"


class Host:
    """One plugin's calls on one state directory."""

    def __init__(self, state: Path, plugin: str = "whereabouts") -> None:
        self.state = state
        self.plugin = plugin
        self.database = state / "plait" / "leases.db"

    @property
    def store(self) -> FileStore:
        return FileStore(str(self.state))

    def call(
        self,
        command: str,
        ipam: Json | None,
        container: str = "c1",
        ifname: str = "eth0",
        args: str = "",
        **config: Any,
    ) -> Reply:
        """One call; `config` are further keys of the network configuration."""
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": "/nonexistent/netns",
            "CNI_IFNAME": ifname,
            "CNI_PATH": "/nonexistent/bin",
            "CNI_ARGS": args,
            "PLAIT_STATE_DIR": str(self.state),
        }
        conf = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": ipam, **config}
        stdin = io.BytesIO(json.dumps(conf).encode())
        stdout = io.BytesIO()
        status = skel.main(self.plugin, environ, stdin, stdout, io.BytesIO())
        text = stdout.getvalue()
        return Reply(status, json.loads(text) if text else None)

    def add(self, ipam: Json, container: str = "c1", **more: Any) -> list[str]:
        return self.call("ADD", ipam, container, **more).ips()

    def delete(self, ipam: Json | None, container: str = "c1", **more: Any) -> None:
        assert self.call("DEL", ipam, container, **more).ok() is None

    def use(self, cidr: str, addresses: Iterable[str], network_name: str = "") -> None:
        """Lease these addresses to somebody else."""
        pool = read(RangeText("test", cidr))
        asks = [Ask(pool, network_name, wanted=int(parse_ip(each))) for each in addresses]
        self.store.lease(Owner(Attachment("other", "somebody", "eth0")), asks)


def whereabouts(cidr: str, **keys: Any) -> Json:
    return {"type": "whereabouts", "range": cidr, **keys}
