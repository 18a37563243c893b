"""The kernel's answers: its errno, and its own words where it says some."""

from __future__ import annotations

import struct

import pytest

from cni.host import rtnl

HEADER = struct.Struct("=IHHII")
CAPPED, TLVS = 0x100, 0x200


def answer(code: int, words: str = "", *, capped: bool = True) -> tuple[bytes, int]:
    """An NLMSG_ERROR and its flags; not capped, it repeats the whole request."""
    request = HEADER.pack(40, 16, 5, 1, 0) + b"\0" * 24
    body = struct.pack("=i", -code) + (request[: HEADER.size] if capped else request)
    flags = CAPPED if capped else 0
    if words:
        text = words.encode() + b"\0"
        body += struct.pack("=HH", 4 + len(text), 1) + text
        flags |= TLVS
    return HEADER.pack(HEADER.size + len(body), 2, flags, 1, 0) + body, flags


@pytest.mark.parametrize("capped", [True, False])
def test_error_with_words(capped: bool) -> None:
    with pytest.raises(FileExistsError) as raised:
        rtnl._raise(*answer(17, "Name is taken", capped=capped))
    assert raised.value.strerror == "File exists (Name is taken)"


def test_error_without_words() -> None:
    with pytest.raises(PermissionError) as raised:
        rtnl._raise(*answer(1))
    assert raised.value.strerror == "Operation not permitted"


def test_acknowledgement_and_warning() -> None:
    rtnl._raise(*answer(0))
    rtnl._raise(*answer(0, "deprecated"))


def test_words_that_are_cut_off() -> None:
    data, flags = answer(22, "Invalid")
    for size in range(len(data) - 12, len(data)):
        with pytest.raises(OSError, match="Invalid argument"):
            rtnl._raise(data[:size], flags)
