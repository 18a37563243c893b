"""What a driver says of its interface, to the ethtool of old: an ioctl. linux/ethtool.h."""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array

_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_DRVINFO = struct.Struct("=I 32s 32s 32s 32s 64x")  #: command, driver, versions, bus address


def bus_address(ifname: str) -> str:
    """The address of the device behind an interface of the current namespace, on its bus.

    Rtnetlink tells it since kernel 5.14. Empty when there is none.
    """
    info = array("B", _DRVINFO.pack(_ETHTOOL_GDRVINFO, b"", b"", b"", b""))
    request = struct.pack("16sP16x", ifname.encode(), info.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError:
            return ""
    bus_info: bytes = _DRVINFO.unpack(info)[4]
    return bus_info.partition(b"\0")[0].decode(errors="replace")
