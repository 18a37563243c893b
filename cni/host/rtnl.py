"""rtnetlink over a plain blocking socket: one request, its answer, the kernel's own words.

A connection belongs to the network namespace in which it was opened, whatever the process
enters later. Kernel doc: Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import _socket as socket
import errno
import os
import struct
import sys
from typing import TYPE_CHECKING, Self

from cni.core import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.host.codecs import Message

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_DELNEIGH = 29
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
_NLM_F_DUMP_INTR, _NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x10, 0x100, 0x200
_NLMSG_ERROR, _NLMSG_DONE = 2, 3

_SO_NETNS_COOKIE = 71
_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_DUMP_TRIES = 10
_BUFFER = 256 << 10  #: a card with 256 VFs describes itself in more than 64 KiB


class Rtnl:
    """A connection to the routing subsystem of the current network namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # a kernel before 4.20 filters less and explains less
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def netns_cookie(self) -> int:
        """The number of this namespace; 0 where the kernel has none (before 5.14)."""
        try:
            cookie = self._socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return 0
        return int.from_bytes(cookie, sys.byteorder)

    def request(self, message: Message, kind: int, flags: int = 0, *, what: str) -> list[Message]:
        """Send one request and wait for its acknowledgement; returns what came before it.

        Raises OSError with the kernel's errno and text; `what` becomes a note on it.
        """
        try:
            answers = self._exchange(message, kind, flags | NLM_F_ACK)
            return [message.decoded(data[_HEADER.size :]) for data, _ in answers]
        except OSError as error:
            error.add_note(what)
            raise

    def dump(self, message: Message, kind: int, *, what: str) -> list[Message]:
        """All objects of a kind; a dump that a concurrent change tore is repeated.

        Raises OSError as `request`, EBUSY when the table never stands still.
        """
        raw = self.dump_undecoded(message, kind, what=what)
        return [message.decoded(data[_HEADER.size :]) for data in raw]

    def dump_undecoded(self, message: Message, kind: int, *, what: str) -> list[bytes]:
        """The same as bytes, each with its netlink header, for those who read little of it."""
        try:
            for _ in range(_DUMP_TRIES):
                torn = False
                found = []
                for each, interrupted in self._exchange(message, kind, NLM_F_DUMP):
                    torn |= interrupted
                    if each:
                        found.append(each)
                if not torn:
                    return found
            raise OSError(errno.EBUSY, f"the dump was interrupted {_DUMP_TRIES} times in a row")
        except OSError as error:
            error.add_note(what)
            raise

    def _exchange(self, message: Message, kind: int, flags: int) -> list[tuple[bytes, bool]]:
        self._sequence += 1
        body = message.encode()
        size = _HEADER.size + len(body)
        header = _HEADER.pack(size, kind, flags | NLM_F_REQUEST, self._sequence, 0)
        with trace.span(trace.KERNEL):
            self._socket.send(header + body)
            return list(self._answers())

    def _answers(self) -> Iterator[tuple[bytes, bool]]:
        """Each message, and whether the dump is torn by then; an empty one tells only that."""
        torn = False
        while True:
            data = self._socket.recv(_BUFFER)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                if sequence == self._sequence:
                    torn = bool(flags & _NLM_F_DUMP_INTR)
                    if kind == _NLMSG_ERROR:
                        _raise(data[offset : offset + length], flags)
                        return
                    if kind == _NLMSG_DONE:
                        _raise_done(data[offset : offset + length], flags)
                        if torn:
                            yield b"", True
                        return
                    yield data[offset : offset + length], torn
                offset += (length + 3) & ~3


def _raise(answer: bytes, flags: int) -> None:
    code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    if not code:
        return
    offset = _HEADER.size + 4 + _HEADER.size  # the error, then the header of our own request
    if not flags & _NLM_F_CAPPED:
        offset = _HEADER.size + 4 + ((_HEADER.unpack_from(answer, _HEADER.size + 4)[0] + 3) & ~3)
    raise OSError(code, _text(code, answer[offset:] if flags & _NLM_F_ACK_TLVS else b""))


def _raise_done(answer: bytes, flags: int) -> None:
    if len(answer) < _HEADER.size + 4:
        return
    code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    if code > 0:
        attributes = answer[_HEADER.size + 4 :] if flags & _NLM_F_ACK_TLVS else b""
        raise OSError(code, _text(code, attributes))


def _text(code: int, attributes: bytes) -> str:
    """The kernel's explanation (extended acknowledgement), else the C library's word for errno."""
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if length < 4:
            break
        if kind & 0x3FFF == _NLMSGERR_ATTR_MSG:
            said = attributes[offset + 4 : offset + length].rstrip(b"\0")
            return f"{os.strerror(code)} ({said.decode(errors='replace')})"
        offset += (length + 3) & ~3
    return os.strerror(code)
