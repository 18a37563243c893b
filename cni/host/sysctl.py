"""Kernel parameters below /proc/sys; those of `net` belong to the namespace that was entered."""

from __future__ import annotations

_ROOT = "/proc/sys/"


def read(key: str) -> str:
    """The value of a key such as "net/ipv4/ip_forward"."""
    try:
        with open(_ROOT + key) as file:
            return file.read().strip()
    except OSError as error:
        error.add_note(f"read sysctl {key}")
        raise


def write(key: str, value: str) -> None:
    try:
        with open(_ROOT + key, "w") as file:
            file.write(value)
    except OSError as error:
        error.add_note(f"set sysctl {key} to {value}")
        raise


def ensure(key: str, value: str) -> bool:
    """Write the value unless it is there already; whether it had to be written."""
    if read(key) == value:
        return False
    write(key, value)
    return True


def write_if_present(key: str, value: str) -> None:
    """Write a parameter that not every kernel has and nobody depends on."""
    try:
        write(key, value)
    except OSError:
        pass
