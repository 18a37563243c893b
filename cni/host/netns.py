"""Network namespaces: open one by its path, talk to it, enter it for a moment."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from cni.core import signals
from cni.host.rtnl import Rtnl

if TYPE_CHECKING:
    from collections.abc import Iterator

_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
_CLONE_NEWNET = 0x40000000

#: with these nothing is there, or a socket, a device, a loop
_NO_NAMESPACE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
    *(errno.ENXIO, errno.ENODEV, errno.ELOOP),
)

_libc = ctypes.CDLL(None, use_errno=True)


class NotANamespaceError(OSError):
    """The path exists and is no network namespace."""


class Sandbox:
    """An open network namespace; `nl` is a connection that stays in it."""

    def __init__(self, path: str) -> None:
        try:
            # a path on disk may lead to a FIFO by now, which would be waited for
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            error.add_note(f'open network namespace "{path}"')
            raise
        try:
            if not _is_netns(self.fd):
                raise NotANamespaceError(errno.EINVAL, "not a network namespace", path)
            with self.entered():
                self.nl = Rtnl()
        except BaseException:
            os.close(self.fd)
            raise
        self.path = path

    @property
    def id(self) -> int:
        """A number that no other namespace has from boot to shutdown.

        Before kernel 5.14 the inode's, which is given to a new namespace when this one is gone.
        """
        return self.nl.netns_cookie() or os.fstat(self.fd).st_ino

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.nl.close()
        os.close(self.fd)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in the namespace while the body runs (/proc/sys/net and new sockets follow).

        Keep it short: signals wait meanwhile, so that no undo ever runs in the wrong namespace.
        """
        with signals.blocked():
            own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(self.fd)
                try:
                    yield
                finally:
                    _setns(own)
            finally:
                os.close(own)


def open_if_present(path: str) -> Sandbox | None:
    """The namespace; None when the path is empty, gone, or no longer a namespace (a plain file
    stays where /run/netns/x was mounted).
    """
    try:
        return Sandbox(path) if path else None
    except (NotANamespaceError, ValueError):  # ValueError: what no path can be
        return None
    except OSError as error:
        if error.errno in _NO_NAMESPACE:
            return None
        raise


def _is_netns(fd: int) -> bool:
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError:
        return False


def _setns(fd: int) -> None:
    # os.setns needs Python 3.12
    if _libc.setns(fd, _CLONE_NEWNET):
        code = ctypes.get_errno()
        error = OSError(code, os.strerror(code))
        error.add_note("enter network namespace")
        raise error
