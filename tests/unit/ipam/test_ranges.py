"""The arithmetic of ranges, against sets of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam.bounds import RangeText, read
from ipam.ranges import Interval, Range, first_free, merge, text, window

intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))
)


def members(several: tuple[Interval, ...] | list[Interval]) -> set[int]:
    return {number for first, last in several for number in range(first, last + 1)}


@given(intervals)
def test_merge_keeps_the_addresses_and_leaves_gaps(several: list[Interval]) -> None:
    merged = merge(several)
    assert members(merged) == members(several)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(merged))


@given(intervals, intervals, st.integers(0, 63), st.integers(0, 63))
def test_first_free_is_the_lowest_and_asks_once_for_each_exclude(
    exclude: list[Interval], leased: list[Interval], first: int, last: int
) -> None:
    wanted = Range(4, 0, 26, first, last, merge(exclude))
    runs = merge(leased)
    asked = 0

    def leased_to(address: int) -> int | None:
        nonlocal asked
        asked += 1
        return next((end for start, end in runs if start <= address <= end), None)

    free = [n for n in range(first, last + 1) if n not in members(exclude) | members(leased)]
    assert first_free(wanted, leased_to) == (free[0] if free else None)
    assert asked <= 2 * (len(wanted.exclude) + 1)


@given(intervals, st.integers(0, 80))
def test_excluded_to(exclude: list[Interval], address: int) -> None:
    end = Range(4, 0, 25, 1, 126, merge(exclude)).excluded_to(address)
    if end is None:
        assert address not in members(exclude)
    else:
        assert members([(address, end)]) <= members(exclude)
        assert end + 1 not in members(exclude)


@pytest.mark.parametrize(
    ("version", "base", "prefix_len", "expected"),
    [
        (4, 256, 24, (257, 510)),
        (4, 0, 0, (1, 2**32 - 2)),
        (4, 4, 30, (5, 6)),
        (4, 4, 31, None),
        (4, 4, 32, None),
        (6, 2**64, 64, (2**64 + 1, 2**65 - 2)),
        (6, 0, 126, (1, 2)),
        (6, 0, 127, None),
    ],
)
def test_window(version: int, base: int, prefix_len: int, expected: Interval | None) -> None:
    assert window(version, base, prefix_len) == expected


def test_text_is_of_the_family() -> None:
    assert text(4, 1) == "0.0.0.1"
    assert text(6, 1) == "::1"


def test_without() -> None:
    range_ = read(RangeText("r", "10.0.0.0/29", exclude=("10.0.0.1",)))
    assert range_.without(4, range_.base + 2).exclude == ((range_.base + 1, range_.base + 2),)
    assert range_.without(6, range_.base + 2) is range_


@pytest.mark.parametrize(
    ("cidr", "exclude", "lowest"),
    [
        ("2001:db8::/64", "2001:db8::/65", "2001:db8:0:0:8000::"),  # beyond 2^63 of its network
        ("2001:db8::/30", "2001:db8::/31", "2001:dba::"),  # beyond 2^64
        ("::/0", "::/1", "8000::"),
        ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0"),
    ],
)
def test_half_a_network_excluded_is_one_step(cidr: str, exclude: str, lowest: str) -> None:
    range_ = read(RangeText("r", cidr, exclude=(exclude,)))
    found = first_free(range_, lambda address: None)
    assert found is not None
    assert range_.text(found) == lowest
