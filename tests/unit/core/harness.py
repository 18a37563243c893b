"""The skeleton, called as a runtime calls an executable."""

from __future__ import annotations

import io
import json
import signal
from typing import Any, NamedTuple

from cni.core import skel

GOOD = {
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/nonexistent/netns",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/nonexistent/bin",
    "PLAIT_STATE_DIR": "/nonexistent/state",
    "PLAIT_RUN_DIR": "/nonexistent/run",
}


class Answer(NamedTuple):
    """What an executable left behind: status, the text on both outputs."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def error(self, code: int) -> dict[str, Any]:
        assert self.status == 1, self.stdout
        error = self.json
        assert error["code"] == code, error
        return dict(error)


def call(
    command: str | None,
    stdin: bytes | dict[str, Any] = b"",
    *,
    plugin: str = "loopback",
    drop: tuple[str, ...] = (),
    **environ: Any,
) -> Answer:
    """One call with a good environment, changed by `environ` and without `drop`."""
    world = {key: value for key, value in (GOOD | environ).items() if key not in drop}
    if command is not None:
        world["CNI_COMMAND"] = command
    data = json.dumps(stdin).encode() if isinstance(stdin, dict) else stdin
    stdout, stderr = io.BytesIO(), io.BytesIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = skel.main(plugin, world, io.BytesIO(data), stdout, stderr)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Answer(status, stdout.getvalue().decode(), stderr.getvalue().decode())
