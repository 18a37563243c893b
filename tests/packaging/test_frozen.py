"""The frozen executables start wherever and however a runtime starts them."""

from __future__ import annotations

import ast
import json
import marshal
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cni import __version__
from cni.core import versions
from cni.core.errors import Code
from cni.core.registry import PLUGINS
from tests.packaging.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = {"cniVersion": versions.LATEST, "supportedVersions": list(versions.SUPPORTED)}
CONTAINER = {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
IN_MOUNTS = ("unshare", "--mount", "/bin/sh", "-ec")
PATH = {"PATH": os.environ["PATH"]}


def ask(
    *command: str | Path, environ: dict[str, str] | None = None, cwd: Path | None = None
) -> object:
    """The answer to VERSION of a command that is started with no environment but `environ`."""
    done = subprocess.run(
        command,
        env={"CNI_COMMAND": "VERSION", **(environ or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


def tool(plugins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The tool's answer, started with an empty environment."""
    command = [str(plugins / "plait"), *arguments]
    return subprocess.run(command, env={}, capture_output=True, text=True, timeout=20)


def packed(file: Path) -> set[str]:
    """The names of the modules in a file of packaging/modules.py."""
    data = file.read_bytes()
    return set(marshal.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))


@pytest.mark.parametrize("plugin_type", PLUGINS)
def test_every_type_answers(plugins: Path, plugin_type: str) -> None:
    assert ask(plugins / plugin_type) == ANSWER


@pytest.mark.parametrize("plugin_type", ["", *PLUGINS])
def test_the_executable_itself_is_every_plugin(plugins: Path, plugin_type: str) -> None:
    """`plait TYPE` is that plugin; whatever has a verb of CNI is no call of the tool."""
    assert ask(plugins / "plait", *filter(None, [plugin_type])) == ANSWER
    said = tool(plugins, *filter(None, [plugin_type]))
    if plugin_type:
        assert said.stderr.startswith(f"CNI {plugin_type} plugin ")
    else:
        assert (said.stdout + said.stderr).startswith("Usage: plait ")


def test_the_tool(plugins: Path) -> None:
    assert tool(plugins, "--version").stdout == f"plait {__version__}\n"
    assert "\n  vf  " in tool(plugins, "--help").stdout
    assert json.loads(tool(plugins, "vf", "list", "--json").stdout).keys() == {"pfs"}
    assert tool(plugins, "vf", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["vf", "provision", "nowhere", "--num", "1"], 1, 'plait: no PF is called "nowhere"; '),
        (["vf", "provision", "pf0", "--num", "x"], 2, "Usage: plait vf provision "),
        (["bridges"], 2, "Usage: plait "),
    ],
)
def test_errors_of_the_tool(plugins: Path, arguments: list[str], status: int, said: str) -> None:
    done = tool(plugins, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(said) and "Traceback" not in done.stderr


def test_plugins_have_nothing_of_the_tool(plugins: Path) -> None:
    """The index of their modules is read at every start."""
    roots = {name.partition(".")[0] for name in packed(plugins / ".plait/modules")}
    assert not roots & {"annotated_doc", "pydantic", "pygments", "rich", "typer"}
    assert not [name for name in packed(plugins / ".plait/modules") if name.startswith("cni.ctl")]


def test_a_plugin_does_not_open_the_tools_modules(plugins: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bin"
    shutil.copytree(plugins, copy, symlinks=True)
    (copy / ".plait/modules-of-tool").unlink()
    assert ask(copy / "bridge") == ANSWER


def test_nothing_but_the_types_and_the_executable_is_there(plugins: Path) -> None:
    assert {entry.name for entry in plugins.iterdir()} == {*PLUGINS, "plait", ".plait"}


def test_a_plugin_is_found_as_libcni_finds_it(plugins: Path) -> None:
    """libcni takes the first regular file of that name, links followed."""
    for plugin_type in PLUGINS:
        file = plugins / plugin_type
        assert file.is_file()
        assert file.stat().st_mode & 0o777 == 0o755
        assert not os.readlink(file).startswith("/")


@pytest.mark.parametrize("how", ["relative", "path", "linked", "link to the directory"])
def test_however_it_is_called(plugins: Path, tmp_path: Path, how: str) -> None:
    if how == "relative":
        assert ask("./bridge", cwd=plugins) == ANSWER
    elif how == "path":
        assert ask("/usr/bin/env", "bridge", environ={"PATH": str(plugins)}) == ANSWER
    elif how == "linked":
        (tmp_path / "bridge").symlink_to(plugins / "bridge")
        assert ask(tmp_path / "bridge") == ANSWER
    else:
        (tmp_path / "bin").symlink_to(plugins)
        assert ask(tmp_path / "bin/bridge") == ANSWER


def test_the_directory_can_be_copied_anywhere(plugins: Path, tmp_path: Path) -> None:
    shutil.copytree(plugins, tmp_path / "a copy", symlinks=True)
    assert ask(tmp_path / "a copy/bridge") == ANSWER


def test_in_a_directory_that_was_removed(plugins: Path, tmp_path: Path) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0"'
    assert ask("/bin/sh", "-c", script, plugins / "bridge", cwd=tmp_path) == ANSWER


def test_where_nothing_can_be_written(plugins: Path) -> None:
    script = 'for d in /tmp /var /home /root /run /dev/shm; do mount --bind -o ro $d $d; done; "$0"'
    assert ask(*IN_MOUNTS, script, plugins / "bridge", environ=PATH) == ANSWER


def test_without_proc(plugins: Path) -> None:
    script = 'mount -t tmpfs none /proc; exec "$0"'
    assert ask(*IN_MOUNTS, script, plugins / "bridge", environ=PATH) == ANSWER


def test_the_callers_python_plays_no_part(plugins: Path, tmp_path: Path) -> None:
    for name in ("json", "os", "cni", "encodings", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    environ = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONINSPECT": "1",
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONVERBOSE": "1",
        "LD_LIBRARY_PATH": str(tmp_path),
        "VIRTUAL_ENV": str(tmp_path),
    }
    assert ask(plugins / "bridge", environ=environ, cwd=tmp_path) == ANSWER


@pytest.mark.parametrize("locale", ["", "C", "de_DE.ISO-8859-1", "nowhere"])
def test_text_is_utf_8_in_every_locale(plugins: Path, locale: str) -> None:
    config = {"cniVersion": "1.0.0", "name": "zöpfe", "type": "bridge"}
    done = subprocess.run(
        [plugins / "bridge"],
        env={
            **CONTAINER,
            "CNI_COMMAND": "ADD",
            "CNI_NETNS": "/var/run/netns/none",
            "CNI_PATH": str(plugins),
            **({"LC_ALL": locale} if locale else {}),
        },
        input=json.dumps(config, ensure_ascii=False).encode(),
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert "zöpfe" in json.loads(done.stdout.decode())["msg"]


@pytest.mark.parametrize("closed", ["0", "2", "0 2"])
def test_with_closed_standard_streams(plugins: Path, closed: str) -> None:
    redirections = " ".join(f"{fd}<&-" for fd in closed.split())
    assert ask("/bin/sh", "-c", f'exec "$0" {redirections}', plugins / "bridge") == ANSWER


def test_with_a_closed_output(plugins: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" >&-', plugins / "bridge"],
        env={"CNI_COMMAND": "VERSION"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 1  # an answer that nobody got is no success
    assert b"Traceback" not in done.stderr


def test_the_process_is_called_by_its_type(plugins: Path) -> None:
    process = subprocess.Popen(
        [plugins / "host-device"],
        env={**CONTAINER, "CNI_COMMAND": "DEL", "CNI_PATH": str(plugins)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with process:
        deadline = time.monotonic() + 10
        # waits for its configuration in a pipe
        while "pipe" not in Path(f"/proc/{process.pid}/wchan").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert Path(f"/proc/{process.pid}/comm").read_text() == "host-device\n"
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("plugin_type", PLUGINS)
def test_every_type_has_all_its_modules(plugins: Path, plugin_type: str, tmp_path: Path) -> None:
    """A DEL for a container that nobody knows imports the plugin, and has nothing to do."""
    config = {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": plugin_type,
        "ipam": {"type": "whereabouts", "range": "10.1.2.0/24"},
        "delegates": [{"cniVersion": "1.0.0", "name": "net", "type": "bridge"}],
    }
    done = subprocess.run(
        [plugins / plugin_type],
        env={
            **CONTAINER,
            "CNI_COMMAND": "DEL",
            "CNI_PATH": str(plugins),
            "PLAIT_STATE_DIR": str(tmp_path / "state"),
            "PLAIT_RUN_DIR": str(tmp_path / "run"),
        },
        input=json.dumps(config).encode(),
        capture_output=True,
        timeout=20,
    )
    assert b"No module named" not in done.stdout + done.stderr
    assert done.returncode == 0 or json.loads(done.stdout)["code"] != Code.INTERNAL


def test_no_module_of_ours_needs_one_that_is_left_out() -> None:
    spec = ast.parse((REPOSITORY / "packaging/plait.spec").read_text())
    (listed,) = (
        node.value
        for node in spec.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXCLUDED"
    )
    excluded = eval(ast.unparse(listed))
    for package in ("cni", "ipam", "meta"):
        for file in (REPOSITORY / package).rglob("*.py"):
            if ".".join(file.relative_to(REPOSITORY).with_suffix("").parts) in excluded:
                continue
            for name in _imported(ast.parse(file.read_text())):
                needed = [each for each in excluded if f"{name}.".startswith(f"{each}.")]
                assert not needed, f"{file} imports {name}, which plait.spec excludes"


def _imported(tree: ast.AST) -> Iterator[str]:
    """What is imported at run time, at any depth."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imported(node)


@pytest.mark.skipif("PLAIT_BIN" in os.environ, reason="those were not built from this tree")
def test_the_same_files_build_the_same_bytes(plugins: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for name in ("cni", "ipam", "meta", "packaging"):
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("requirements.lock", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    subprocess.run([sys.executable, copy / "packaging/build.py"], check=True, cwd="/")
    sums = [
        (each / ".plait/SHA256SUMS").read_text().splitlines()
        for each in (plugins, copy / "build/bin")
    ]
    assert sums[0] == sums[1]
