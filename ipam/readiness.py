"""What STATUS answers when an ADD would fail now."""

from __future__ import annotations

from cni.core.errors import CniError, Code


def unavailable(error: CniError) -> CniError:
    """The error that an ADD would end with, as STATUS tells it.

    A configuration that no ADD can use is told as it is, code 6 or 7: waiting does not help. All
    else is code 50.
    """
    if error.code in (Code.DECODE_FAILURE, Code.INVALID_CONFIG):
        return error
    return CniError(Code.NOT_AVAILABLE, error.msg, error.details)
