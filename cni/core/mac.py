"""MAC addresses as users write them."""

from __future__ import annotations

from cni.core.errors import invalid

_HEX = frozenset("0123456789abcdef")


def parse(text: str, key: str) -> str:
    """The address in the kernel's spelling, from `02:..`, `02-..` or `0200.5e10.0000`.

    Raises CniError 7, naming `key`, for what is no unicast Ethernet address.
    """
    digits = text.lower().replace(":", "").replace("-", "").replace(".", "")
    shape = {17: (":", "-"), 14: (".",)}.get(len(text), ())
    groups = [text.lower().split(separator) for separator in shape if separator in text]
    widths = {len(part) for part in groups[0]} if len(groups) == 1 else set()
    if len(digits) != 12 or not _HEX.issuperset(digits) or widths not in ({2}, {4}):
        raise invalid(f'"{key}": invalid MAC address "{text}"')
    if int(digits[:2], 16) & 1 or digits == "0" * 12:
        raise invalid(f'"{key}": "{text}" is no unicast MAC address')
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))
