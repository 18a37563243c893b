"""The cards, as the tests want to find them, and the guest itself as the host of pods."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pytest

from tests.netns.node import Node
from tests.vm.card import Pf, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: what the test before has left, to find; to look takes the emulated processor long
_known: list[str] = []


@pytest.fixture(scope="session")
def both() -> list[Pf]:
    return [Pf(0), Pf(1)]


@pytest.fixture
def cards(both: list[Pf]) -> Iterator[list[Pf]]:
    """Both cards with all their VFs; the test has to leave everything of them as it was.

    It takes seconds to make VFs: those of the test before are good if it left them so.
    """
    for each in both:
        if not each.vfs:
            each.provision()
            _known.clear()
    before = list(_known) or snapshot(both)
    yield both
    _known[:] = after = snapshot(both)
    if after != before:
        for each in both:
            each.vfs = []
        difference = difflib.unified_diff(before, after, "before", "after", n=0, lineterm="")
        pytest.fail("\n".join(["the test leaves the cards changed:", *difference]))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Node]:
    """The guest's first namespace as the host: that is where its cards are."""
    node = Node(tmp_path)
    yield node
    for pod in node.pods:
        if pod.fd >= 0:
            pod.destroy()
