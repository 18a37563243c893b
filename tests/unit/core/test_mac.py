"""MAC addresses as users write them."""

from __future__ import annotations

import pytest

from cni.core import mac
from cni.core.errors import CniError


@pytest.mark.parametrize(
    "text", ["02:00:5e:10:00:0a", "02-00-5E-10-00-0A", "0200.5e10.000a", "0200.5E10.000A"]
)
def test_spellings(text: str) -> None:
    assert mac.parse(text, "mac") == "02:00:5e:10:00:0a"


@pytest.mark.parametrize(
    "text",
    ["", "zz", "02:00:5e:10:00", "02:00:5e:10:00:0a:01", "02:00:5e-10:00:0a", "02005e10000a",
     "2:0:5e:10:0:a", "02:00:5e:10:00:0g", "0200:5e10:000a", "020.05e.100.00a", "02.00.5e.10.00.0a",
     " 2:00:5e:10:00:0a", "02:00:5e:10:00:0a\n", "０2:00:5e:10:00:0a",
     "02:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00"],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    with pytest.raises(CniError, match="invalid MAC address") as raised:
        mac.parse(text, "the.key")
    assert raised.value.code == 7
    assert "the.key" in raised.value.msg


@pytest.mark.parametrize("text", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_no_unicast(text: str) -> None:
    with pytest.raises(CniError, match="no unicast MAC address"):
        mac.parse(text, "mac")
