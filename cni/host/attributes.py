"""Netlink attributes: each a length, a number and a value, padded to four bytes.

Kernel doc: Documentation/userspace-api/netlink/intro.rst, "Attribute types".
"""

from __future__ import annotations

import _socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEAD = struct.Struct("=HH")
_NESTED, _NUMBER = 0x8000, 0x3FFF  # linux/netlink.h: NLA_F_NESTED, NLA_TYPE_MASK
_MAC = 6  #: bytes


class Kind(NamedTuple):
    """How a value becomes bytes and bytes a value; `flags` go with the attribute's number."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    flags: int = 0


class Table:
    """The attributes of one kind of object: name -> (number, kind of its value).

    Those that a table does not have are passed over when read.
    """

    def __init__(self, attributes: dict[str, tuple[int, Kind]]) -> None:
        self._by_name = attributes
        self._by_number = {number: (name, kind) for name, (number, kind) in attributes.items()}

    def encode(self, attributes: Iterable[tuple[str, Any]]) -> bytes:
        out = bytearray()
        for name, value in attributes:
            number, kind = self._by_name[name]
            body = kind.encode(value)
            out += _HEAD.pack(_HEAD.size + len(body), number | kind.flags) + body
            out += bytes(-len(body) % 4)
        return bytes(out)

    def pairs(self, data: bytes) -> Iterator[tuple[str, Any]]:
        """All of them in their order: of some there are several."""
        offset = 0
        while offset + _HEAD.size <= len(data):
            length, number = _HEAD.unpack_from(data, offset)
            if length < _HEAD.size:
                return
            if found := self._by_number.get(number & _NUMBER):
                name, kind = found
                yield name, kind.decode(data[offset + _HEAD.size : offset + length])
            offset += (length + 3) & ~3

    def decode(self, data: bytes) -> dict[str, Any]:
        return dict(self.pairs(data))

    def only(self, name: str) -> Table:
        """The table of that one."""
        return Table({name: self._by_name[name]})


def number(form: str) -> Kind:
    """A number in a struct format."""
    shape = struct.Struct(form)
    return Kind(shape.pack, lambda data: shape.unpack_from(data)[0])


def _encode_text(value: str) -> bytes:
    return value.encode(errors="surrogateescape") + b"\0"


def _decode_text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="surrogateescape")


def _encode_mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _decode_mac(data: bytes) -> str:
    """The first six bytes of a longer address (InfiniBand's)."""
    return data[:_MAC].hex(":")


def _encode_ip(value: str) -> bytes:
    return _socket.inet_pton(_socket.AF_INET6 if ":" in value else _socket.AF_INET, value)


def _decode_ip(data: bytes) -> str:
    return _socket.inet_ntop(_socket.AF_INET if len(data) == 4 else _socket.AF_INET6, data)


TEXT = Kind(_encode_text, _decode_text)
MAC = Kind(_encode_mac, _decode_mac)
IP = Kind(_encode_ip, _decode_ip)
RAW = Kind(bytes, bytes)  #: what is in it depends on another attribute


def fields(form: str, *names: str) -> Kind:
    """A C structure, as a dict of its members."""
    shape = struct.Struct(form)
    return Kind(
        lambda value: shape.pack(*(value[name] for name in names)),
        lambda data: dict(zip(names, shape.unpack_from(data), strict=True)),
    )


def nested(table: Table) -> Kind:
    """Attributes within: given as pairs, read as a dict."""
    return Kind(table.encode, table.decode)


def listed(table: Table) -> Kind:
    """The same, read as pairs, for those of which there are several."""
    return Kind(table.encode, lambda data: list(table.pairs(data)))


def flagged(kind: Kind) -> Kind:
    """The same, said to be nested: newer parts of the kernel refuse it otherwise."""
    return kind._replace(flags=_NESTED)
