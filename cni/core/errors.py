"""Errors as the CNI specification defines them (section 5, "Error")."""

from __future__ import annotations

import errno as _errno


class Code:
    """Error codes: 1-99 belong to the specification, 100 and up are ours."""

    INCOMPATIBLE_VERSION = 1  #: the plugin does not speak the configuration's cniVersion
    UNSUPPORTED_FIELD = 2  #: msg names the key and the value
    UNKNOWN_CONTAINER = 3  #: tells the runtime that no clean-up is needed; never a mere failure
    INVALID_ENVIRONMENT = 4  #: msg names the variables
    IO_FAILURE = 5
    DECODE_FAILURE = 6
    INVALID_CONFIG = 7
    INVALID_NETNS = 8  #: not in the specification; libcni's ErrInvalidNetNS
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50  #: STATUS: no new container can be added
    LIMITED_CONNECTIVITY = 51  #: STATUS: and those that exist may have lost connectivity
    RANGE_EXHAUSTED = 100  #: no free address left
    KERNEL_REFUSED = 101  #: details hold the errno and the kernel's own words
    CHECK_FAILED = 102  #: CHECK found the world different from the result
    DELEGATE_FAILED = 103  #: a foreign plugin failed without saying how
    INTERNAL = 999  #: a bug of ours


class CniError(Exception):
    """An error for the runtime: `msg` says operation and object, `details` the reason."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(code, msg, details)
        self.code = code
        self.msg = msg
        self.details = details

    def __str__(self) -> str:
        return f"{self.msg}; {self.details}" if self.details else self.msg

    def within(self, context: str) -> CniError:
        """The same error, its message prefixed by what was being done."""
        return CniError(self.code, f"{context}: {self.msg}", self.details)


class Interrupted(BaseException):
    """The runtime lost patience (SIGTERM, SIGINT). A BaseException, so that no handler eats it."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


def invalid(msg: str, details: str = "") -> CniError:
    """A configuration that cannot be accepted; `msg` names the key and its value."""
    return CniError(Code.INVALID_CONFIG, msg, details)


def describe(error: BaseException) -> CniError:
    """Any exception as an error for the runtime.

    An OSError that carries a note was raised by the kernel layer, the note being the operation;
    one without came from a file.
    """
    if isinstance(error, CniError):
        return error
    if isinstance(error, Interrupted):
        return CniError(Code.TRY_AGAIN_LATER, f"interrupted by {error.signal_name}")
    if isinstance(error, OSError):
        name = _errno.errorcode.get(error.errno or 0, "")
        reason = f"{name}: {error.strerror}" if name else str(error)
        notes = getattr(error, "__notes__", [])
        if notes:
            return CniError(Code.KERNEL_REFUSED, ": ".join(reversed(notes)), reason)
        return CniError(Code.IO_FAILURE, f"cannot use {error.filename or 'file'}", reason)
    return CniError(Code.INTERNAL, f"internal error: {type(error).__name__}: {error}")
