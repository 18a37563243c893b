"""What the tests of any store of leases need: a clock, ranges, owners, short words for calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.addresses import parse_ip
from ipam.bounds import RangeText, read
from ipam.ranges import text
from ipam.stores import RESERVED, Ask, Hold, Owner

if TYPE_CHECKING:
    from ipam.ranges import Range
    from ipam.stores import Lease, Store


class Clock:
    """In place of time.time: stands still until it is moved."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def pool(cidr: str, start: str = "", end: str = "", exclude: tuple[str, ...] = ()) -> Range:
    return read(RangeText("range", cidr, start, end, exclude))


NET = pool("10.0.0.0/24")
SMALL = pool("10.0.0.0/29")  #: .1 to .6
NET6 = pool("fd00::/64")


def ip(text: str) -> int:
    return int(parse_ip(text))


def owner(name: str, pod: str = "", ifname: str = "eth0", network: str = "net") -> Owner:
    """A container, of a pod of the namespace "default" when that is named."""
    attachment = Attachment(network, name, ifname)
    if not pod:
        return Owner(attachment)
    return Owner(attachment, "default", pod, f"uid-of-{name}", "node-1", f"/run/netns/{name}")


def lease(store: Store, who: Owner | str, *asks: Ask) -> list[str]:
    """The addresses as text."""
    who = owner(who) if isinstance(who, str) else who
    given = store.lease(who, asks)
    return [ask.range.text(address) for ask, address in zip(asks, given, strict=True)]


def refused(store: Store, who: Owner | str, *asks: Ask) -> str:
    """The text of the error by which no address is given."""
    with pytest.raises(CniError) as caught:
        lease(store, who, *asks)
    assert caught.value.code == Code.RANGE_EXHAUSTED, caught.value
    return str(caught.value)


def fill(store: Store, wanted: Range, network_name: str = "") -> list[str]:
    """Lease all that there is to "full0", "full1", ...; the addresses in that order."""
    given: list[str] = []
    for number in range(wanted.last - wanted.first + 1):
        try:
            given += lease(store, f"full{number}", Ask(wanted, network_name))
        except CniError as error:
            assert error.code == Code.RANGE_EXHAUSTED, error
            break
    return given


def release(store: Store, who: Owner | str) -> int:
    who = owner(who) if isinstance(who, str) else who
    return store.release(who.attachment)


def held(store: Store) -> set[tuple[str, str]]:
    """Kind and address of every hold."""
    return {(hold.kind, place_text(hold)) for hold in store.holds()}


def leased(store: Store) -> list[tuple[str, str]]:
    """Container and address of every lease."""
    return [(each.attachment.container_id, place_text(each)) for each in store.every()]


def place_text(place: Lease | Hold) -> str:
    return text(place.version, place.address)


def reservation(address: str, pod: str, wanted: Range = SMALL, ifname: str = "") -> Hold:
    return Hold("", wanted.cidr, wanted.version, ip(address), RESERVED, f"default/{pod}", ifname)
