"""Protocol Buffers by field number: the wire format, and bytes that are none of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.kube import protobuf
from cni.kube.protobuf import MalformedError


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("", []),
        ("089601", [(1, 150)]),
        ("12 07 74657374696e67", [(2, b"testing")]),
        ("1a 03 089601", [(3, b"\x08\x96\x01")]),
        ("0d 01000000 11 0200000000000000 0803", [(1, 1), (2, 2), (1, 3)]),
        ("08 ffffffffffffffffff01", [(1, 2**64 - 1)]),  # -1
        ("f80f 01", [(255, 1)]),
        ("0a00", [(1, b"")]),
    ],
)
def test_fields(message: str, wanted: list[tuple[int, int | bytes]]) -> None:
    assert list(protobuf.fields(bytes.fromhex(message))) == wanted


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("08", "no end"),
        ("80", "no end"),
        ("08 ffffffffffffffffffff01", "no end"),
        ("0001", "number 0"),
        ("0a02 61", "cut short"),
        ("0a ffffffffffffffffff01 61", "cut short"),
        ("0d 010000", "cut short"),
        ("09 01000000000000", "cut short"),
        ("0b 0c", "wire type 3"),
        ("0f", "wire type 7"),
    ],
)
def test_what_is_no_message(message: str, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        list(protobuf.fields(bytes.fromhex(message)))


def test_a_field_of_another_kind() -> None:
    with pytest.raises(MalformedError, match="field 1 holds a number"):
        protobuf.messages(b"\x08\x01", 1)
    with pytest.raises(MalformedError, match="field 1 is not UTF-8"):
        protobuf.texts(protobuf.field(1, b"\xff"), 1)


def test_of_a_string_the_last_counts() -> None:
    message = protobuf.field(1, b"old") + protobuf.field(2, b"x") + protobuf.field(1, b"new")
    assert protobuf.text(message, 1) == "new"
    assert protobuf.texts(message, 1) == ["old", "new"]
    assert protobuf.text(message, 3) == ""


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.binary(max_size=300))))
def test_what_is_encoded_is_read_again(wanted: list[tuple[int, bytes]]) -> None:
    message = b"".join(protobuf.field(number, value) for number, value in wanted)
    assert list(protobuf.fields(message)) == wanted


@given(st.binary(max_size=200), st.integers(1, 5))
def test_any_bytes_are_read_or_refused(message: bytes, number: int) -> None:
    try:
        for each in protobuf.messages(message, number):
            protobuf.text(each, 1)
    except MalformedError as error:
        assert str(error)
