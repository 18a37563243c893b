"""Addresses in text, read as Go reads them: what configurations and callers write.

Python's ipaddress takes more (netmasks, missing lengths, zones) and Go's "sloppy" parser takes
leading zeros; this module is the difference.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

IP = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface  #: an address with the length of its network's prefix


def parse_ip(text: str, *, sloppy: bool = False) -> IP:
    """A bare address; an IPv4-mapped one counts as IPv4. `sloppy` drops IPv4's leading zeros.

    Raises ValueError.
    """
    if ":" not in text:
        return IPv4Address(_without_zeros(text) if sloppy else text)
    ip = IPv6Address(_without_zone(text))
    return ip.ipv4_mapped or ip


def parse_cidr(text: str, *, sloppy: bool = False) -> Interface:
    """An address with its prefix length, host bits kept.

    Raises ValueError, also for a netmask and for a missing length.
    """
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        raise ValueError(f"{text!r} has no prefix length")
    if ":" in address:
        return IPv6Interface(f"{_without_zone(address)}/{length}")
    return IPv4Interface(f"{_without_zeros(address) if sloppy else address}/{length}")


def _without_zone(text: str) -> str:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    return text


def _without_zeros(text: str) -> str:
    """00192.00168.1.5 -> 192.168.1.5, which Go's originals accept."""
    return ".".join(part.lstrip("0") or part[-1:] for part in text.split("."))
