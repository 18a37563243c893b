"""The codec against bytes from the documentation of protobuf's encoding."""

from .wire import Fields, encode


def test_documented_bytes() -> None:
    assert encode({1: 150}) == bytes.fromhex("08 96 01")
    assert encode({2: "testing"}) == bytes.fromhex("12 07 74 65 73 74 69 6e 67")
    assert encode({3: {1: 150}}) == bytes.fromhex("1a 03 08 96 01")


def test_what_was_written_can_be_read() -> None:
    fields = Fields(encode({1: 300, 2: "text", 3: {1: "inner"}, 20: [{1: 1}, {1: 2}]}))
    assert fields.number(1) == 300
    assert fields.text(2) == "text"
    assert fields.message(3).text(1) == "inner"
    assert [item.number(1) for item in fields.messages(20)] == [1, 2]


def test_absent_fields_have_their_zero_values() -> None:
    fields = Fields(b"")
    assert (fields.number(1), fields.text(2), fields.messages(3)) == (0, "", [])
    assert fields.message(4).text(1) == ""


def test_fields_of_fixed_size_are_stepped_over() -> None:
    fields = Fields(bytes.fromhex("09 0000000000000000 15 00000000 18 07"))
    assert fields.number(3) == 7
