"""What each verb imports: the budget of its start, by the names of modules.

A module that is not in it costs every pod some of a millisecond, or ten: it is imported where it is
needed, or the budget grows here, knowingly. Measured in the source tree, with packaging/slim before
the standard library, as the executables have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.apiserver.server import ApiServer
from tests.conformance.node import fresh_node
from tests.packaging.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.node import Node

SITE = sysconfig.get_path("purelib")

CODE = """
import gc, os, sys  # as cni.__main__ does
from cni.core import skel
status = skel.main(
    sys.argv[1], os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer
)
built_in = {"__main__", "site", *sys.builtin_module_names}
print(*(name for name in sys.modules if name not in built_in), file=sys.stderr)
sys.exit(status)
"""

# fmt: off
#: what the interpreter brings along
START = {
    "_frozen_importlib", "_frozen_importlib_external", "zipimport",
    "encodings", "encodings.aliases", "encodings.utf_8",
    "_collections_abc", "abc", "codecs", "genericpath", "io", "os", "os.path", "posixpath", "stat",
}
#: every verb: the protocol
PROTOCOL = {
    "__future__", "_json", "collections", "collections.abc", "contextlib", "functools",
    "importlib", "importlib._bootstrap", "importlib._bootstrap_external", "json", "signal",
    "types", "typing", "warnings",
}
#: configurations are validated
VALIDATION = {
    "_datetime", "copy", "datetime", "importlib._abc", "importlib.util", "pydantic_core",
    "pydantic_core._pydantic_core",
}
KERNEL = {"_ctypes", "_struct", "ctypes", "ctypes._endian", "ipaddress", "struct"}
BRIDGE = VALIDATION | KERNEL | {"hashlib", "select"}
#: addresses are given
RANGES = {"_bisect", "bisect"}
LEASES = RANGES | {"_sqlite3", "sqlite3", "sqlite3.dbapi2"}
#: a server is asked
CLUSTER = {"_ssl", "_weakrefset", "encodings.utf_16_le", "ssl", "threading"}
# fmt: on

OURS = ("cni", "ipam", "meta")

LEASING = {"type": "whereabouts", "range": "10.1.0.0/16", "gateway": "10.1.0.1"}
NETWORK = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": LEASING,
}
HOST_LOCAL = {**NETWORK, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/16"}]]}}
LO = {"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}
MULTUS = {"cniVersion": "1.1.0", "name": "multus", "type": "multus", "delegates": [NETWORK]}

BUDGETS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("VERSION", LO, set()),
    ("STATUS", LO, KERNEL),
    ("ADD", LO, KERNEL),
    ("ADD", NETWORK, BRIDGE | LEASES),
    ("DEL", NETWORK, BRIDGE | LEASES),
    ("ADD", HOST_LOCAL, BRIDGE | RANGES),
    ("DEL", HOST_LOCAL, BRIDGE | RANGES),
    ("ADD", MULTUS, BRIDGE | LEASES),
    ("DEL", MULTUS, BRIDGE | LEASES),
]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with fresh_node(tmp_path) as made:
        yield made


def imported(
    node: Node, library: Path, verb: str, conf: dict[str, Any], pod: Any, args: str = ""
) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-S", "-c", CODE, conf["type"]],
        env={
            **node.environ(verb, pod, path=()),
            "CNI_PATH": "/nonexistent",
            "CNI_ARGS": args,
            "PYTHONPATH": os.pathsep.join((str(library), str(REPOSITORY), SITE)),
        },
        input=json.dumps(conf).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    return set(done.stderr.decode().splitlines()[-1].split())


def _title(verb: str, conf: dict[str, Any]) -> str:
    ipam = conf.get("ipam", {}).get("type", "")
    return f"{verb} {conf['type']} {ipam}".rstrip()


@pytest.mark.parametrize(
    ("verb", "conf", "budget"), BUDGETS, ids=[_title(verb, conf) for verb, conf, _ in BUDGETS]
)
def test_a_verb_imports_no_more(
    node: Node, library: Path, verb: str, conf: dict[str, Any], budget: set[str]
) -> None:
    pod = node.pod()
    if verb == "DEL":
        imported(node, library, "ADD", conf, pod)
    found = imported(node, library, verb, conf, pod)
    foreign = {name for name in found if name.partition(".")[0] not in OURS}
    assert foreign - START - PROTOCOL - budget == set()
    if verb == "VERSION":
        assert not [name for name in found if name.startswith(("cni.host", "cni.store", "ipam"))]


def test_a_server_is_asked_without_the_librarys_http(
    node: Node, library: Path, tmp_path: Path
) -> None:
    with ApiServer(tmp_path / "api") as api:
        api.pod("default", "p1")
        conf = {**MULTUS, "kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig", form="json"))}
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1"
        found = imported(node, library, "ADD", conf, node.pod(), args)
    foreign = {name for name in found if name.partition(".")[0] not in OURS}
    assert "ssl" in foreign
    assert foreign - START - PROTOCOL - BRIDGE - LEASES - CLUSTER == set()


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_the_stores_of_the_cluster(node: Node, library: Path, tmp_path: Path, verb: str) -> None:
    with ApiServer(tmp_path / "api") as api:
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig", form="json")
        ipam = {**LEASING, "kubernetes": {"kubeconfig": str(kubeconfig)}}
        conf = {"cniVersion": "1.1.0", "name": "net", "type": "whereabouts", "ipam": ipam}
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1"
        pod = node.pod()
        if verb == "DEL":
            imported(node, library, "ADD", conf, pod, args)
        found = imported(node, library, verb, conf, pod, args)
    foreign = {name for name in found if name.partition(".")[0] not in OURS}
    assert "ipam.stores.kubernetes" in found
    assert foreign - START - PROTOCOL - VALIDATION - RANGES - CLUSTER - {"ipaddress"} == set()
