"""One pass of the installation: compares the node with what it should be, changes what differs.

The order is that of need: executables, kubeconfig, conflist. The runtime calls multus from the
moment when the conflist is there, so that comes last, and only after the rest has succeeded.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core import log
from cni.core.attempts import Attempts
from cni.core.errors import CniError, Code
from cni.ctl.install import conflist, executables, kubeconfig, master, rivals
from cni.store import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.core.types import Json
    from cni.ctl.install.master import Found, Master
    from cni.ctl.install.place import Place

REMAKE_INTERVAL = 10.0  #: seconds between two times that a conflist which others take away is made


class Wish(NamedTuple):
    """What the user asked for; empty texts are the defaults."""

    place: Place
    source: str  #: directory of plugins; see `executables.own_source`
    options: Json  #: keys for multus
    others: str = executables.REFUSE_OTHERS  #: what becomes of executables of others
    replaces_multus: bool = False  #: and another multus's configuration
    default_network: str = ""
    given_kubeconfig: str = ""  #: on the node, made by somebody else
    account: str = kubeconfig.ACCOUNT
    server: str = ""


class Installer:
    """Remembers between passes what it has seen; all else is on the disk.

    `patience` is how many seconds the default network's file may be gone before another network
    that the runtime would choose later takes its place.
    """

    def __init__(
        self,
        wish: Wish,
        environ: Mapping[str, str],
        *,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wish = wish
        self.place = wish.place
        self.warnings: list[str] = []  #: of the last pass
        self._environ = environ
        self._patience = patience
        self._clock = clock
        self._name = b""  #: of this process, once it has taken over
        self._verified: tuple[int, ...] = ()  #: the executable, as this process left it
        self._written: bytes | None = None  #: the conflist as this process left it
        self._remade = -REMAKE_INTERVAL
        self._gone_since: float | None = None  #: when the default network's file was first missed

    def take_over(self) -> None:
        """Be the one that keeps the node: that of the pod which this one replaces leaves it."""
        self._name = f"{os.getpid()}-{time.time_ns()}".encode()
        os.makedirs(os.path.dirname(self._claim), mode=0o755, exist_ok=True)
        files.write(self._claim, self._name, durable=False)

    @property
    def _claim(self) -> str:
        """The file that says who keeps the node."""
        return f"{self.place.here(self.place.kubeconfig)}.keeper"

    def run(self) -> None:
        """One pass. Raises CniError or OSError, which name all that failed; try again then."""
        self.warnings = []
        if self._name and files.read(self._claim) not in (None, self._name):
            self.warnings.append("another installer has come: the node is left to it")
            return
        os.makedirs(self.place.conf_here, mode=0o755, exist_ok=True)
        if self._current()[1] is None and not self.wish.replaces_multus:
            found = master.look(self.place.conf_here)
            rivals.refuse(self.place, rivals.find(self.place, found))
        attempts = Attempts()
        attempts.run(self._install_executables)
        attempts.run(self._install_kubeconfig)
        if not attempts.errors or self._current()[1] is not None:
            attempts.run(self._install_conflist)
        attempts.finish()

    def is_complete(self) -> bool:
        """Whether all that a pod needs is in place."""
        made = not self.wish.given_kubeconfig
        return (
            executables.is_installed(self.wish.source, self.place.bin_here, others=self.wish.others)
            and (not made or os.path.isfile(self.place.here(self.place.kubeconfig)))
            and self._current()[1] is not None
        )

    def _current(self) -> tuple[bytes | None, str | None]:
        """The conflist in place, and the file that it was made from if it is ours."""
        data = files.read(self.place.conflist)
        return data, conflist.master_of(data)

    def _install_executables(self) -> None:
        source, bin_dir = self.wish.source, self.place.bin_here
        others = self.wish.others
        is_whole = self._verified and executables.identity(bin_dir) == self._verified
        if not is_whole or not executables.is_installed(source, bin_dir, others=others):
            executables.install(source, bin_dir, others=others)
            self._verified = executables.identity(bin_dir)

    def _install_kubeconfig(self) -> None:
        if self.wish.given_kubeconfig:
            return
        server = self.wish.server or kubeconfig.server_of(self._environ)
        data = kubeconfig.render(self.wish.account, server)
        kubeconfig.install(self.place.here(self.place.kubeconfig), data)

    def _install_conflist(self) -> None:
        current, recorded = self._current()
        if recorded is None:
            recorded = conflist.master_of(self._written) or ""
        found = master.look(self.place.conf_here)
        self._warn_of(found)
        chosen = master.choose(found, self.wish.default_network, recorded)
        self._wait_for(recorded, chosen)
        path = self.wish.given_kubeconfig or self.place.kubeconfig
        data = conflist.render(chosen, path, self.wish.options)
        found_rivals = rivals.find(self.place, found)
        if not self.wish.replaces_multus:
            rivals.refuse(self.place, found_rivals)
        if current == data and not found_rivals:
            self._written = data
            return
        if self._written is not None and (current != self._written or found_rivals):
            if self._clock() < self._remade + REMAKE_INTERVAL:
                return
            self._remade = self._clock()
            log.warning(
                "another program took our place: made anew",
                file=self.place.conflist,
                found=" ".join(found_rivals or rivals.traces(self.place)) or "changed or removed",
                hint="Cilium does so unless cni.exclusive is false; another multus must be removed",
            )
        rivals.replace(self.place, found_rivals, data)
        self._written = data
        log.info("wrote the conflist", file=self.place.conflist, master=chosen.file)

    def _wait_for(self, recorded: str, chosen: Master) -> None:
        """Raises CniError 11 while the default network's file may come back (an upgrade of it)."""
        if (
            self.wish.default_network
            or chosen.file <= recorded
            or not recorded
            or os.path.lexists(os.path.join(self.place.conf_here, recorded))
        ):
            self._gone_since = None
            return
        if self._gone_since is None:
            self._gone_since = self._clock()
        if self._clock() - self._gone_since < self._patience:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"{recorded} is gone; the conflist that was made from it stays",
                f"{chosen.file} is taken when it has not come back in {self._patience:g} s",
            )

    def _warn_of(self, found: Found) -> None:
        own = os.path.basename(self.place.conflist)
        self.warnings += [
            f"{name} cannot be used: {fault}" for name, fault in found.faults.items() if name != own
        ]
        first = sorted(
            name for name in (*(each.file for each in found.masters), *found.faults) if name < own
        )
        if first:
            self.warnings.append(f"{' '.join(first)}: the runtime takes it before {own}; rename it")
