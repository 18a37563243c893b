"""Every exception becomes one sentence for the runtime."""

from __future__ import annotations

import errno

import pytest

from cni.core.errors import CniError, Interrupted, describe, invalid


def noted(error: OSError, *notes: str) -> OSError:
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "code", "msg", "details"),
    [
        (invalid("m", "d"), 7, "m", "d"),
        (CniError(11, "m"), 11, "m", ""),
        (
            noted(OSError(errno.EBUSY, "busy (the driver)"), 'move "eth0"'),
            101, 'move "eth0"', "EBUSY: busy (the driver)",
        ),
        (noted(OSError(errno.EIO, "x"), "inner", "outer"), 101, "outer: inner", "EIO: x"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "/x"),
            5, "cannot use /x", "ENOENT: No such file",
        ),
        (OSError("no number"), 5, "cannot use file", "no number"),
        (OSError(99999, "strange"), 5, "cannot use file", "[Errno 99999] strange"),
        (Interrupted("SIGTERM"), 11, "interrupted by SIGTERM", ""),
        (KeyError("k"), 999, "internal error: KeyError: 'k'", ""),
    ],
)  # fmt: skip
def test_describe(error: BaseException, code: int, msg: str, details: str) -> None:
    said = describe(error)
    assert (said.code, said.msg, said.details) == (code, msg, details)


def test_text() -> None:
    assert str(CniError(7, "m", "d")) == "m; d"
    assert str(CniError(7, "m")) == "m"
    within = CniError(7, "m", "d").within("net1")
    assert (within.code, within.msg, within.details) == (7, "net1: m", "d")
