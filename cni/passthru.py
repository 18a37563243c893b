"""passthru: a plugin that changes nothing and answers what came before it.

multus has it at the head of an auxiliary chain, which needs a plugin of its own; in a list it
stands where another will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.types import Result

if TYPE_CHECKING:
    from cni.core.types import Request


def add(req: Request) -> Result:
    return req.prev_result or Result()


def check(req: Request) -> None:
    pass


def delete(req: Request) -> None:
    pass


def gc(req: Request) -> None:
    pass


def status(req: Request) -> None:
    pass
