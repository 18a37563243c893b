"""What is on the wire of a namespace: ARP packets and neighbour advertisements."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.host.netns import Sandbox

BOUND = 30  #: seconds: what is not seen by then does not come
_ETH_P_ALL = 3


class Frame(NamedTuple):
    """A frame that an interface of the tapped namespace received, or sent."""

    ifname: str
    data: bytes
    outgoing: bool

    @property
    def is_arp(self) -> bool:
        return self.data[12:14] == b"\x08\x06"

    @property
    def is_advertisement(self) -> bool:
        return self.data[12:14] == b"\x86\xdd" and self.data[20] == 58 and self.data[54] == 136


class Tap:
    """Sees the ARP packets and neighbour advertisements of a namespace; None is the process's."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        if sandbox is None:
            self.socket = self._opened()
        else:
            with sandbox.entered():
                self.socket = self._opened()

    @staticmethod
    def _opened() -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        opened.setblocking(False)
        return opened

    def frames(self) -> Iterator[Frame]:
        """What has come since the last time."""
        while True:
            try:
                data, address = self.socket.recvfrom(2048)
            except BlockingIOError:
                return
            frame = Frame(address[0], data, address[2] == socket.PACKET_OUTGOING)
            if frame.is_arp or frame.is_advertisement:
                yield frame

    def sent(self) -> list[Frame]:
        return [each for each in self.frames() if each.outgoing]

    def received(self, count: int) -> list[Frame]:
        """Waits for so many."""
        found: list[Frame] = []

        def look() -> list[Frame]:
            found.extend(each for each in self.frames() if not each.outgoing)
            return found

        wait_for(look, lambda seen: len(seen) >= count)
        return found


def wait_for(look: Callable[[], Any], right: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not right(last := look()):
        assert time.monotonic() < deadline, last
        time.sleep(0.01)
