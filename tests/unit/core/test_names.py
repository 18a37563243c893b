"""Identifiers and interface names."""

from __future__ import annotations

import pytest

from cni.core import names


@pytest.mark.parametrize("text", ["a", "0", "A-b_c.d", "c1", "x" * 300, "a.", "a-"])
def test_identifiers(text: str) -> None:
    assert names.is_identifier(text)


@pytest.mark.parametrize(
    "text",
    ["", "-a", "_a", ".a", "a b", "a/b", "a\n", "\na", "a\0", "ä", "a:b", "..", "a%b", "\udc80"],
)
def test_no_identifiers(text: str) -> None:
    """A trailing newline too, which the `$` of a regular expression would let pass."""
    assert not names.is_identifier(text)


@pytest.mark.parametrize("name", ["eth0", "a" * 15, "é" * 7, "@x", "a.b-c_d", 'q"', "x\\", "\x01"])
def test_interface_names(name: str) -> None:
    assert names.ifname_fault(name) == ""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "empty"),
        ("a" * 16, "longer than 15 bytes"),
        ("é" * 8, "longer than 15 bytes"),
        (".", ". or .."),
        ("..", ". or .."),
        ("a/b", "contains / or :"),
        ("a:b", "contains / or :"),
        ("a b", "whitespace"),
        ("a\t", "whitespace"),
        ("eth0\n", "whitespace"),
        ("a\u00a0", "whitespace"),
        ("a\0b", "contains / or :"),
        ("eth%d", "contains %"),
        ("eth\udc80", "not UTF-8"),
    ],
)
def test_no_interface_names(name: str, fault: str) -> None:
    assert fault in names.ifname_fault(name)


@pytest.mark.parametrize(
    ("text", "good"),
    [("bridge", True), ("a b", True), ("", False), ("../x", False), ("a/b", False), (".", False),
     ("..", False), ("a\0", False)],
)  # fmt: skip
def test_plugin_types(text: str, good: bool) -> None:
    assert names.is_plugin_type(text) == good
