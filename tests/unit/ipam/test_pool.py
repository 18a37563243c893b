"""What of an IPPool is an allocation."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from ipam.stores.pool import Key, read_pool

KEY = Key("fd00---64", "", "fd00::/64", 6, 0xFD << 120)


@given(st.one_of(st.from_regex("[0-9]{1,20}"), st.text("0123456789-+ \n٣²", max_size=21)))
@example("")
@example("0")
@example("00")
@example("9" * 19)
@example("9" * 20)
def test_offsets(offset: str) -> None:
    """A number that Go reads, as Go writes it."""
    spec = {"range": KEY.cidr, "allocations": {offset: {"id": "c1"}}}
    pool = {"kind": "IPPool", "metadata": {"name": KEY.name}, "spec": spec}
    is_one = re.fullmatch("0|[1-9][0-9]{0,18}", offset) is not None
    expected = [KEY.base + int(offset)] if is_one else []
    assert list(read_pool(KEY, pool).allocations) == expected
