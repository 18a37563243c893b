"""Who may import whom, and what a cold call does not import.

plugins -> core | host | kube | store -> standard library. The shared packages stand side by side,
save that each may use the parts of core that know nothing of the protocol. The operator's tool
stands above the plugins, and nobody knows it.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cni.core import registry
from tests.netns.node import fresh_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
OURS = ("cni", "ipam", "meta")
STDLIB = sys.stdlib_module_names
#: the parts of core that every layer may use: no request, no result, no plugin
BASIC = {
    f"cni.core.{name}"
    for name in ("errors", "log", "signals", "spawn", "syncing", "trace", "tracing", "types")
}
#: third-party package -> the modules, or packages, that may import it
FOREIGN = {
    "pydantic": {"cni.conf", "ipam.conf", "meta.conf"},
    "pydantic_core": {"cni.core.load"},
    "h2": {"cni.kube.grpc"},
    "netaddr": {"cni.ctl.leases.usage"},
    "yaml": {"cni.kube.access"},
    "rich": {"cni.ctl"},
    "typer": {"cni.ctl"},
}
#: the operator's tool, and the plugins whose modules it uses
TOOL = "cni.ctl"
SHOWN = {"cni.sriov", "ipam", "meta.multus"}


class Import(NamedTuple):
    """`importer` needs `imported`; `at_run_time` is false below `if TYPE_CHECKING`."""

    importer: str
    imported: str
    at_run_time: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for each in OURS for p in sorted((ROOT / each).rglob("*.py"))}


def imports() -> Iterator[Import]:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            for imported in _imported(node):
                yield Import(name, imported, id(node) not in typing_only)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.module and not node.level, ast.unparse(node)
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        return [each if each in MODULES else node.module for each in below]
    return []


GRAPH = sorted(set(imports()))
AT_RUN_TIME = [each for each in GRAPH if each.at_run_time]


def within(name: str, packages: Iterable[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def of(package: str) -> list[Import]:
    """The run-time imports by the modules of a package, without those of the standard library."""
    return [
        each
        for each in AT_RUN_TIME
        if f"{each.importer}.".startswith(f"{package}.")
        and each.imported.partition(".")[0] not in STDLIB
    ]


def test_core_knows_no_kernel_no_disk_and_no_plugin() -> None:
    strangers = [
        each
        for each in of("cni.core")
        if not each.imported.startswith("cni.core")
        and each.imported != "pydantic_core._pydantic_core"
    ]
    assert strangers == []


@pytest.mark.parametrize("layer", ["cni.host", "cni.kube", "cni.store"])
def test_layers_know_only_themselves_and_the_basic_parts_of_core(layer: str) -> None:
    strangers = [
        each
        for each in of(layer)
        if not f"{each.imported}.".startswith(f"{layer}.")
        and each.imported not in BASIC | {"cni.core"}
        and each.imported.partition(".")[0] not in FOREIGN
    ]
    assert strangers == []


def test_basic_parts_of_core_know_only_one_another() -> None:
    strangers = [
        each for name in BASIC for each in of(name) if each.imported not in BASIC | {"cni.core"}
    ]
    assert strangers == []


@pytest.mark.parametrize("package", sorted(FOREIGN))
def test_third_party_packages_have_one_door(package: str) -> None:
    importers = {e.importer for e in AT_RUN_TIME if e.imported.partition(".")[0] == package}
    assert [each for each in importers if not within(each, FOREIGN[package])] == []


def test_there_are_no_other_third_party_packages() -> None:
    roots = {each.imported.partition(".")[0] for each in AT_RUN_TIME}
    assert roots - STDLIB - set(OURS) <= set(FOREIGN)


def test_models_are_types_at_run_time() -> None:
    """What validates is generated from them; importing them would bring pydantic."""
    models = FOREIGN["pydantic"]
    assert [each for each in AT_RUN_TIME if each.imported in models] == []


def test_plugins_do_not_know_each_other() -> None:
    """They reach each other by type name, through core.delegate."""
    plugins = set(registry.PLUGINS.values())
    strangers = [
        each
        for each in GRAPH
        for plugin in plugins
        if f"{each.imported}.".startswith(f"{plugin}.")
        and not f"{each.importer}.".startswith(f"{plugin}.")
        and not (each.importer.startswith(f"{TOOL}.") and within(plugin, SHOWN))
    ]
    assert strangers == []


def test_nobody_knows_the_tool() -> None:
    """But the front door of the executable, and that when it is asked for."""
    importers = {
        each.importer
        for each in GRAPH
        if within(each.imported, {TOOL}) and not within(each.importer, {TOOL})
    }
    assert importers == {"cni.__main__"}
    front_door = ast.parse(MODULES["cni.__main__"].read_text())
    at_once = [name for node in front_door.body for name in _imported(node)]
    assert not [name for name in at_once if within(name, {"cni"})]


def test_the_tool_knows_what_is_shared_and_the_plugins_that_it_shows() -> None:
    shared = {"cni.core", "cni.host", "cni.kube", "cni.store"}
    allowed = {TOOL, *SHOWN, *shared, "cni.agent.server", "netaddr", "rich", "typer"}
    strangers = [each for each in of(TOOL) if not within(each.imported, allowed)]
    assert [each for each in strangers if each.imported != "cni"] == []  # its version


def test_the_agent_knows_no_plugin() -> None:
    """Nor does any plugin know it: only the executable's front door, and the tool, to start it."""
    shared = {"cni.agent", "cni.core", "cni.kube", "cni.store"}
    assert [each for each in of("cni.agent") if not within(each.imported, shared)] == []
    importers = {each.importer for each in GRAPH if within(each.imported, {"cni.agent"})}
    assert {each for each in importers if not within(each, {"cni.agent"})} == {
        "cni.__main__",
        "cni.ctl.app",
    }


def test_a_call_is_handed_over_before_anything_is_imported() -> None:
    """What cni.agent.client needs is built into the interpreter, or there from the start."""
    needed = {e.imported for e in AT_RUN_TIME if e.importer in ("cni.agent", "cni.agent.client")}
    assert needed - {"cni.agent.alone"} == {  # that only after a call that was killed
        *("__future__", "_signal", "_socket", "cni.agent", "os", "sys")
    }


@pytest.mark.parametrize("package", ["ipam", "meta"])
def test_packages_of_plugins_share_only_what_is_shared(package: str) -> None:
    strangers = [
        each
        for each in of(package)
        if not each.imported.startswith(
            (f"{package}.", "cni.core", "cni.host", "cni.kube", "cni.store")
        )
        and each.imported not in (package, "pydantic")
    ]
    assert strangers == []


def test_nothing_imports_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for each in AT_RUN_TIME:
        if each.imported in MODULES and each.imported != each.importer:
            needs.setdefault(each.importer, set()).add(each.imported)
    while leaves := {name for below in needs.values() for name in below} - set(needs):
        needs = {name: rest for name, below in needs.items() if (rest := below - leaves)}
    packages = {name for name in needs if MODULES[name].name == "__init__.py"}
    assert set(needs) <= packages, needs


def test_registry_names_plugins() -> None:
    for kind, name in registry.PLUGINS.items():
        module = importlib.import_module(name)
        for verb in ("add", "check", "delete", "gc", "status"):
            assert callable(getattr(module, verb)), f"{kind}: {verb}"


# what a cold call does not import

DENIED = {
    "argparse", "asyncio", "concurrent", "dataclasses", "decimal", "email", "http", "inspect",
    "ipam.conf", "cni.conf", "logging", "multiprocessing", "netaddr", "pickle", "pydantic",
    "random", "rich", "shutil", "ssl", "subprocess", "tempfile", "traceback", "typer",
    "unittest", "urllib", "xml",
}  # fmt: skip

CALL = """
import os, sys
before = set(sys.modules)
from cni.core import skel
status = skel.main(sys.argv[1], os.environ, sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(status)
"""


def modules_of(plugin: str, environ: dict[str, str], conf: object) -> set[str]:
    """The modules that a call in a fresh interpreter has imported."""
    path = os.pathsep.join([str(ROOT), *filter(os.path.isdir, sys.path)])
    done = subprocess.run(
        [sys.executable, "-S", "-c", CALL, plugin],
        env=environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        input=json.dumps(conf).encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.decode().split())


def denied(modules: set[str]) -> set[str]:
    return {name for name in modules for each in DENIED if f"{name}.".startswith(f"{each}.")}


def test_cold_version_imports_nothing_of_a_plugin() -> None:
    modules = modules_of("bridge", {"CNI_COMMAND": "VERSION"}, {})
    assert denied(modules) == set()
    assert not {name for name in modules if name.startswith(("cni.host", "cni.bridge", "pydantic"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_cold_add_imports_what_it_needs(tmp_path: Path) -> None:
    conf = {
        "cniVersion": "1.0.0", "name": "net", "type": "bridge", "isDefaultGateway": True,
        "ipMasq": True, "macspoofchk": True,
        "ipam": {"type": "whereabouts", "range": "10.1.2.0/24", "range_start": "10.1.2.10"},
    }  # fmt: skip
    with fresh_node(tmp_path) as node:
        pod = node.pod()
        for verb in ("ADD", "DEL"):
            modules = modules_of("bridge", node.environ(verb, pod), conf)
            assert "ipam.whereabouts" in modules
            assert denied(modules) == set()
