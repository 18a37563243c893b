"""An `ipam` section that names an interface plugin, which would call itself for ever."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from cni.core import registry, skel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", sorted(set(registry.PLUGINS) - registry.IPAM))
def test_an_interface_plugin_gives_no_addresses(tmp_path: Path, kind: str) -> None:
    conf = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": {"type": kind}}
    environ = {
        "CNI_COMMAND": "STATUS",
        "CNI_PATH": str(tmp_path),
        "PLAIT_STATE_DIR": str(tmp_path),
    }
    stdout = io.BytesIO()
    status = skel.main("bridge", environ, io.BytesIO(json.dumps(conf).encode()), stdout, stdout)
    error = json.loads(stdout.getvalue())
    assert (status, error["code"]) == (1, 7)
    assert f'"{kind}" is no IPAM plugin' in error["msg"]


def test_ours_that_do_are_known_as_such() -> None:
    modules = {registry.PLUGINS[kind].partition(".")[0] for kind in registry.IPAM}
    assert modules == {"ipam"}
