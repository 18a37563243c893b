"""Addresses in text: what Go's parsers take and what they do not."""

from __future__ import annotations

import pytest

from ipam.addresses import parse_cidr, parse_ip


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),  # Go keeps no difference
    ],
)
def test_ip(text: str, canonical: str) -> None:
    assert str(parse_ip(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10.0.0",
        "10.0.0.1 ",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1/24",
        "fe80::1%eth0",
        "::g",
    ],
)
def test_no_ip(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ip(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1/24", "10.0.0.1/24"),
        ("10.0.0.1/024", "10.0.0.1/24"),
        ("3ffe:ffff:0:01ff::1/64", "3ffe:ffff:0:1ff::1/64"),
    ],
)
def test_cidr(text: str, canonical: str) -> None:
    assert str(parse_cidr(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1",
        "10.0.0.1/",
        "10.0.0.1/33",
        "10.0.0.1/-1",
        "10.0.0.1/255.255.255.0",
        "10.0.0.1/24/24",
        "10.0.0.1/٢٤",
        "fe80::1%eth0/64",
        "::1/129",
        "/24",
    ],
)
def test_no_cidr(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cidr(text)


@pytest.mark.parametrize(
    ("text", "canonical"), [("00192.00168.1.5", "192.168.1.5"), ("000.0.0.010", "0.0.0.10")]
)
def test_sloppy(text: str, canonical: str) -> None:
    assert str(parse_ip(text, sloppy=True)) == canonical
    assert str(parse_cidr(f"{text}/24", sloppy=True)) == f"{canonical}/24"


@pytest.mark.parametrize("text", ["10..0.1", "10.0.0.", "0x10.0.0.1", "10.0.0.00256", "..."])
def test_not_that_sloppy(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ip(text, sloppy=True)
