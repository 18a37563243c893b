"""Protocol Buffers by field number: what little of them the kubelet's answers need.

See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, are long gone
_LONGEST_VARINT = 10  #: bytes of a number of 64 bits


class MalformedError(Exception):
    """The bytes are no such message; the text says why."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields in the order of the message: (number, value); a nested message is bytes.

    Raises MalformedError at the first byte that cannot be right.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise MalformedError("a field with the number 0")
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(message, at)
        elif wire == _BYTES:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
            value, at = int.from_bytes(message[at : at + size], "little"), at + size
        else:
            raise MalformedError(f"field {number} has the wire type {wire}")
        if at > len(message):
            raise MalformedError(f"field {number} is cut short")
        yield number, value


def messages(message: bytes, number: int) -> list[bytes]:
    """Every value of a field that holds bytes: a repeated string or nested message."""
    found = []
    for each, value in fields(message):
        if each == number:
            if isinstance(value, int):
                raise MalformedError(f"field {number} holds a number")
            found.append(value)
    return found


def texts(message: bytes, number: int) -> list[str]:
    """Every value of a repeated string."""
    try:
        return [value.decode() for value in messages(message, number)]
    except UnicodeDecodeError:
        raise MalformedError(f"field {number} is not UTF-8") from None


def text(message: bytes, number: int) -> str:
    """The value of a string: the last one, "" when there is none."""
    return (texts(message, number) or [""])[-1]


def field(number: int, value: bytes) -> bytes:
    """One field that holds bytes, encoded."""
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    number = 0
    for count, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return number & (1 << 64) - 1, at + count + 1
    raise MalformedError(f"no end to the number at byte {at}")


def _encoded(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
