"""A node with leases, and the tool on it, for the tests of `plait leases` and `plait ipam`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic  # noqa: F401  # before cni.core.load puts its stand-in there: typer needs all of it

from cni.core.types import Attachment
from cni.ctl import app
from ipam import settings
from ipam.addresses import parse_ip
from ipam.bounds import RangeText, read
from ipam.stores import RESERVED, Ask, Hold, Owner
from ipam.stores.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RANGE = "10.0.0.0/24"


class Said(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of the output, runs of spaces as one."""
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Node:
    """A state directory, its file store, and commands of the tool."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.path = path
        self.state = path / "state"
        self.database = self.state / "plait/leases.db"
        self.store = FileStore(str(self.state))
        self._capsys = capsys
        monkeypatch.setattr(settings, "STANDARD_PATHS", ())
        monkeypatch.setenv("PLAIT_STATE_DIR", str(self.state))
        monkeypatch.setenv("NODENAME", "node1")

    def run(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        status = app.main(arguments)
        return Said(status, *self._capsys.readouterr())

    def ok(self, *arguments: str) -> Said:
        said = self.run(*arguments)
        assert said.status == 0, said
        return said

    def lease(
        self,
        number: int,
        cidr: str = RANGE,
        *,
        network: str = "net",
        network_name: str = "",
        netns: str = "",
        uid: str = "",
        pod: str | None = None,
        wanted: str = "",
        **policy: Any,
    ) -> str:
        """Lease to pod default/p<number>; the address."""
        owner = Owner(
            Attachment(network, f"c{number}", "eth0"),
            *("default" if pod is None else "", f"p{number}" if pod is None else pod, uid),
            node="node1",
            netns=netns,
        )
        wish = int(parse_ip(wanted)) if wanted else None
        ask = Ask(read(RangeText("ipam", cidr)), network_name, wanted=wish, **policy)
        (address,) = self.store.lease(owner, [ask])
        return ask.range.text(address)

    def release(self, number: int, network: str = "net") -> None:
        self.store.release(Attachment(network, f"c{number}", "eth0"))

    def reserve(self, address: str, pod: str, cidr: str = RANGE) -> None:
        ip = parse_ip(address)
        self.store.reserve(Hold("", cidr, ip.version, int(ip), RESERVED, pod))

    def addresses(self) -> list[str]:
        """What is leased, as the store says."""
        return [
            str(parse_ip(each["address"])) for each in self.ok("leases", "--json").json["leases"]
        ]

    def conf(self, document: Any, name: str = "net.conf") -> str:
        file = self.path / name
        file.write_text(json.dumps(document))
        return str(file)


def plugin(name: str = "net", **ipam: Any) -> dict[str, Any]:
    """A network configuration with whereabouts."""
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "bridge",
        "ipam": {"type": "whereabouts", **ipam},
    }
