"""The part of the protobuf wire format that the CRI's sandbox calls need.

A message is written as {field number: value}, and read as `Fields`, so that a dozen fields of a
large API cost neither a compiler nor generated code.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Union

Value = Union[str, bytes, int, "Message", Sequence["Message"]]
Message = Mapping[int, Value]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def encode(message: Message) -> bytes:
    """Bytes of a message; a sequence is a repeated field."""
    encoded = bytearray()
    for number, value in message.items():
        if isinstance(value, int):
            encoded += _varint(number << 3 | VARINT) + _varint(value)
        elif isinstance(value, str):
            encoded += _bytes(number, value.encode())
        elif isinstance(value, bytes):
            encoded += _bytes(number, value)
        elif isinstance(value, Mapping):
            encoded += _bytes(number, encode(value))
        else:
            for item in value:
                encoded += _bytes(number, encode(item))
    return bytes(encoded)


class Fields:
    """A received message.  As the format wants it, a field that is not there has its zero value."""

    def __init__(self, data: bytes) -> None:
        self._numbers: dict[int, int] = {}
        self._bytes: dict[int, list[bytes]] = {}
        for number, value in _fields(data):
            if isinstance(value, int):
                self._numbers[number] = value
            else:
                self._bytes.setdefault(number, []).append(value)

    def number(self, number: int) -> int:
        return self._numbers.get(number, 0)

    def text(self, number: int) -> str:
        return self._bytes.get(number, [b""])[-1].decode()

    def message(self, number: int) -> "Fields":
        return Fields(self._bytes.get(number, [b""])[-1])

    def messages(self, number: int) -> list["Fields"]:
        return [Fields(value) for value in self._bytes.get(number, [])]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    sizes = {FIXED64: 8, FIXED32: 4}
    while position < len(data):
        key = varint()
        kind = key & 7
        if kind == VARINT:
            yield key >> 3, varint()
        else:
            size = varint() if kind == BYTES else sizes[kind]
            yield key >> 3, data[position : position + size]
            position += size
