"""How to try again: after a pause, and after a lost race for another address than the rivals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core import signals
from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from ipam.stores.etcd_gateway import Gateway

_AMONG = (
    8  #: after a lost race: any of twice as many free addresses, of more after each further one
)
_MOST_AMONG = 512
_LONGEST_PAUSE = 0.064  #: seconds


class Patience:
    """The tries of one call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tries = 0
        self._races = 0

    @property
    def among(self) -> int:
        """Of how many of the lowest free addresses to take any."""
        return min(_AMONG << self._races, _MOST_AMONG) if self._races else 1

    def lose(self) -> None:
        """Another was faster."""
        self._races += 1

    def wait(self) -> None:
        """Before the next try. Raises CniError 11 when there is no time for it."""
        import random

        self._tries += 1
        longest = min(0.001 * 2**self._tries, _LONGEST_PAUSE)
        pause = random.uniform(0, longest)  # noqa: S311 (no secret)
        if self._gateway.remaining <= pause:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                "etcd: a change was not accepted in time",
                f"{self._tries} tries, of which {self._races} lost a race",
            )
        signals.sleep(pause)
