"""The usage of ranges in Prometheus's text format, for a node exporter's textfile collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cni.ctl.leases.usage import Usage

_STATES = ("leased", "cooling", "sticky", "reserved", "elsewhere", "free")


def exposition(ranges: Sequence[Usage], now: int) -> str:
    """All metrics; `now` in seconds since 1970."""
    return "".join(
        [
            *_family(
                "plait_ipam_addresses",
                "Addresses of a range by state; the states of a range add up to its capacity.",
                (
                    (_labels(each) | {"state": state}, getattr(each, state))
                    for each in ranges
                    for state in _STATES
                ),
            ),
            *_family(
                "plait_ipam_capacity",
                "Addresses that a range can hand out.",
                ((_labels(each), each.capacity) for each in ranges),
            ),
            *_family(
                "plait_ipam_outside_addresses",
                "Leased addresses that the range would not hand out any more.",
                ((_labels(each), each.outside) for each in ranges),
            ),
            *_family(
                "plait_ipam_oldest_lease_seconds",
                "Age of the oldest lease of a range; 0 without leases of known age.",
                ((_labels(each), max(now - each.oldest, 0) if each.oldest else 0)
                 for each in ranges),
            ),
        ]
    )  # fmt: skip


def write(path: str, content: str) -> None:
    """Replace the file at once: the exporter, which is another user, reads the old or the new."""
    directory, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, 0o644)
            file.write(content.encode())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _family(
    name: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], int]]
) -> Iterator[str]:
    yield f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"
    for labels, value in samples:
        said = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        yield f"{name}{{{said}}} {value}\n"


def _labels(usage: Usage) -> dict[str, str]:
    return {"range": usage.cidr, "network_name": usage.network_name}


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
