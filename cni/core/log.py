"""Logging for short-lived processes: one logfmt line, one write (stdlib logging costs 10 ms)."""

from __future__ import annotations

import os
import time

_LEVELS = {"panic": 0, "error": 1, "warning": 2, "info": 3, "verbose": 3, "debug": 4}
_context: dict[str, str] = {}
_threshold = _LEVELS["warning"]
_file = ""
_stderr = True
_max_size = 0  #: bytes of the file; 0: without a limit
_backups = 0


def configure(
    level: str = "",
    file: str = "",
    *,
    stderr: bool = True,
    max_size: int = 0,
    backups: int = 0,
    **context: str,
) -> None:
    """Set the threshold (panic, error, warning, info or verbose, debug), the file, the context.

    An unknown level leaves the threshold as it is; lines go to `file` too, and to standard error
    unless that is turned off. A file that has reached `max_size` bytes becomes `file`.1, which
    becomes `file`.2, and so on; `backups` of them stay. Without a `file` the one before stays, with
    its limits.
    """
    global _threshold, _file, _stderr, _max_size, _backups
    if file:  # else the limits stay those of the caller's file: delegates come here too
        _file, _max_size, _backups = file, max_size, backups
    _threshold = _LEVELS.get(level.lower(), _threshold)
    _stderr = stderr
    _context.update({key: value for key, value in context.items() if value})


def _quote(value: str) -> str:
    if value and all(c.isprintable() and c not in ' "=' for c in value):
        return value
    return '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'


def _log(level: str, msg: str, fields: dict[str, object]) -> None:
    if _LEVELS[level] > _threshold:
        return
    pairs = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": level,
        **_context,
        "msg": msg,
        **{key: str(value) for key, value in fields.items()},
    }
    line = (" ".join(f"{k}={_quote(v)}" for k, v in pairs.items()) + "\n").encode()
    try:
        if _stderr:
            os.write(2, line)
        if _file:
            fd = os.open(_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, line)
                if _max_size and os.fstat(fd).st_size >= _max_size:
                    _rotate(fd)
            finally:
                os.close(fd)
    except OSError:
        pass  # a log that cannot be written must not fail the pod


def _rotate(fd: int) -> None:
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_EX)  # who waits here finds that the file has another name by now
    if not os.path.samestat(os.fstat(fd), os.stat(_file)):
        return
    for number in range(_backups, 0, -1):
        older, newer = f"{_file}.{number}", f"{_file}.{number - 1}" if number > 1 else _file
        if os.path.exists(newer):
            os.replace(newer, older)
    if not _backups:
        os.unlink(_file)


def bug(failure: BaseException) -> None:
    """The traceback of an exception that should not have happened; the runtime gets a sentence."""
    import traceback  # only on the way out of a bug

    error("internal error", traceback="".join(traceback.format_exception(failure)))


def debug(msg: str, **fields: object) -> None:
    _log("debug", msg, fields)


def info(msg: str, **fields: object) -> None:
    _log("info", msg, fields)


def warning(msg: str, **fields: object) -> None:
    _log("warning", msg, fields)


def error(msg: str, **fields: object) -> None:
    _log("error", msg, fields)
