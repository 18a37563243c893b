"""The same node as for the tests on the machine's own kernel."""

from __future__ import annotations

from tests.netns.conftest import node

__all__ = ["node"]
