"""The executables in surroundings that nobody promised them: no environment, no directory, no disk.

A runtime is started by an init system, a shell or another runtime, and hands on what it has.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.networks import NETWORKS, whereabouts
from tests.conformance.node import GO, OURS, PATIENCE, Node, Reply, execute

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Pod

TYPES = sorted(NETWORKS)


class Attachment:
    """An attachment whose calls are made in odd ways; `ask` is the sane one."""

    def __init__(self, node: Node, plugin_type: str) -> None:
        self.network = NETWORKS[plugin_type]
        self.network.prepare(node)
        self.node = node
        self.pod: Pod = node.pod()
        self.conf = {"cniVersion": "1.0.0", "name": "odd", **self.network.conf}
        self.executable = OURS / plugin_type

    def environ(self, verb: str) -> dict[str, str]:
        return self.node.environ(verb, self.pod, self.network.ifname)

    def add(self, environ: dict[str, str] | None = None, **how: Any) -> Reply:
        """An ADD that must succeed, in its surroundings, and a sane DEL after it."""
        before = self.node.traces(self.pod)
        reply = self.call("ADD", environ, **how)
        reply.result()
        delete = execute(self.executable, self.environ("DEL"), self.stdin)
        delete.silent()
        assert self.node.traces(self.pod) == before
        return reply

    def call(self, verb: str, environ: dict[str, str] | None = None, **how: Any) -> Reply:
        chosen = self.environ(verb) if environ is None else environ
        return execute(self.executable, chosen, self.stdin, **how)

    @property
    def stdin(self) -> bytes:
        return json.dumps(self.conf).encode()


@pytest.mark.parametrize("plugin_type", TYPES)
def test_nothing_in_the_environment_but_the_call(node: Node, plugin_type: str) -> None:
    attachment = Attachment(node, plugin_type)
    environ = attachment.environ("ADD")
    del environ["PATH"]
    attachment.add(environ)


@pytest.mark.parametrize("plugin_type", TYPES)
def test_variables_of_another_python_and_another_bundle(node: Node, plugin_type: str) -> None:
    """A runtime written in Python, or one that is itself frozen, hands its variables on."""
    attachment = Attachment(node, plugin_type)
    trap = node.root / "trap"
    trap.mkdir()
    for name in ("json", "socket", "sitecustomize", "cni"):
        (trap / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    foreign = {
        "PYTHONPATH": str(trap),
        "PYTHONHOME": "/nonexistent",
        "PYTHONSTARTUP": str(trap / "json.py"),
        "PYTHONINSPECT": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONUTF8": "0",
        "LANG": "tr_TR.ISO-8859-9",
        "LC_ALL": "nonsense",
        "LD_LIBRARY_PATH": "/nonexistent",
        "_PYI_ARCHIVE_FILE": "/nonexistent/other",
        "_PYI_APPLICATION_HOME_DIR": "/nonexistent",
        "_PYI_PARENT_PROCESS_LEVEL": "1",
        "TMPDIR": "/nonexistent",
        "HOME": "",
    }
    reply = attachment.add(attachment.environ("ADD") | foreign)
    assert reply.stderr == ""


@pytest.mark.parametrize("plugin_type", TYPES)
def test_working_directory_that_was_deleted(node: Node, plugin_type: str, tmp_path: Path) -> None:
    attachment = Attachment(node, plugin_type)
    gone = tmp_path / "gone"
    lost = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {attachment.executable}"
    attachment.executable = _script(tmp_path, lost)
    before = node.traces(attachment.pod)
    attachment.call("ADD").result()
    attachment.call("DEL").silent()
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("plugin_type", TYPES)
def test_nothing_can_be_written_but_the_records(
    node: Node, plugin_type: str, tmp_path: Path
) -> None:
    """A read-only root: containers' own distributions have one, and a full disk is like one."""
    attachment = Attachment(node, plugin_type)
    read_only = "\n".join(
        f"! mount --bind {place} {place} 2>/dev/null || mount -o remount,bind,ro {place}"
        for place in ("/run", "/tmp", "/var/tmp", "/dev/shm")  # each may be a mount of its own
    )
    executable = attachment.executable
    attachment.executable = _script(
        tmp_path,
        f"""
        set -e
        mount --make-rprivate /
        mount --bind {tmp_path} {tmp_path}
        exec 9<{tmp_path}
        mount -o remount,bind,ro /
        {read_only}
        mount --bind /proc/self/fd/9 {tmp_path}
        mount -o remount,bind,rw {tmp_path}
        exec 9<&-
        if touch /tmp/plait-conformance || touch /var/tmp/plait-conformance; then exit 99; fi
        exec {executable}
        """,
        "unshare --mount",
    )
    before = node.traces(attachment.pod)
    attachment.call("ADD").result()
    attachment.call("DEL").silent()
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("verb", ["VERSION", "ADD", "CHECK", "DEL", "GC", "STATUS"])
@pytest.mark.parametrize("plugin_type", TYPES)
def test_closed_stdin(node: Node, plugin_type: str, verb: str) -> None:
    attachment = Attachment(node, plugin_type)
    before = node.traces(attachment.pod)
    reply = _with_closed(attachment, verb, "<&-")
    if verb == "VERSION":
        assert "supportedVersions" in reply.result()
    else:
        assert reply.error()["code"] in (5, 6)
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("plugin_type", TYPES)
def test_closed_stderr(node: Node, plugin_type: str) -> None:
    """The first file that is opened then has number 2: a log line must not end in the records."""
    attachment = Attachment(node, plugin_type)
    before = node.traces(attachment.pod)
    _with_closed(attachment, "ADD", "2>&-").result()
    _with_closed(attachment, "ADD", "2>&-", CNI_IFNAME="e/e").error(4)
    _with_closed(attachment, "DEL", "2>&-").silent()
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("plugin_type", TYPES)
def test_reader_that_is_gone(node: Node, plugin_type: str) -> None:
    """The runtime died while it waited: nothing may be printed twice, nobody can be told."""
    attachment = Attachment(node, plugin_type)
    before = node.traces(attachment.pod)
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run(
            [attachment.executable],
            env=attachment.environ("ADD"),
            input=attachment.stdin,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    attachment.call("DEL").silent()
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("plugin_type", ["bridge", "host-device", "multus"])
def test_signals_that_the_runtime_ignores_or_blocks(node: Node, plugin_type: str) -> None:
    """Both are inherited; with SIGCHLD ignored nobody can wait for a child."""
    attachment = Attachment(node, plugin_type)
    foreign = node.root / "foreign"
    foreign.mkdir()
    (foreign / "in-a-child").symlink_to(GO / "host-local")
    addresses = {"type": "in-a-child", "ranges": [[{"subnet": "10.66.0.0/24"}]]}
    attachment.conf["ipam"] = {**addresses, "dataDir": str(node.root / "host-local")}
    path = f"{OURS}:{foreign}"
    ours = {signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP}
    old = {each: signal.signal(each, signal.SIG_IGN) for each in ours}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    try:
        process = subprocess.Popen(
            [attachment.executable],
            env=attachment.environ("ADD") | {"CNI_PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            restore_signals=False,
        )
        out, err = process.communicate(attachment.stdin, PATIENCE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each, handler in old.items():
            signal.signal(each, handler)
    assert json.loads(out).get("ips"), (out, err)
    attachment.call("DEL", attachment.environ("DEL") | {"CNI_PATH": path}).silent()
    assert not list((node.root / "host-local").rglob("10.66.*"))


@pytest.mark.parametrize("started", ["relative", "copied", "linked", "by PATH"])
def test_ways_to_start(node: Node, tmp_path: Path, started: str) -> None:
    attachment = Attachment(node, "bridge")
    copy = tmp_path / "opt cni bin"  # with a space
    how: dict[str, Any] = {}
    if started == "relative":
        attachment.executable, how["cwd"] = _path("./bridge"), OURS
    elif started == "by PATH":
        shell = _script(tmp_path, f"PATH={OURS}:$PATH exec bridge")
        attachment.executable = shell
    elif started == "copied":
        shutil.copytree(OURS, copy, symlinks=True)
        attachment.executable = copy / "bridge"
    else:
        copy.mkdir()
        (copy / "bridge").symlink_to(OURS / "bridge")
        attachment.executable = copy / "bridge"
    before = node.traces(attachment.pod)
    attachment.call("ADD", **how).result()
    attachment.call("DEL", **how).silent()
    assert node.traces(attachment.pod) == before


@pytest.mark.parametrize("umask", [0o000, 0o022])
@pytest.mark.parametrize("plugin_type", ["bridge", "host-device", "multus", "whereabouts"])
def test_records_are_for_root_alone(node: Node, plugin_type: str, umask: int) -> None:
    """Whatever the runtime's umask is: a daemon may well have none."""
    attachment = Attachment(node, plugin_type)
    attachment.conf["ipam"] = whereabouts()
    attachment.call("ADD", umask=umask).result()
    for root in filter(os.path.exists, (node.state, node.run_dir)):
        assert not stat.S_IMODE(root.stat().st_mode) & 0o022, f"{root}: others may write"
        for each in root.rglob("*"):
            mode = stat.S_IMODE(each.stat().st_mode)
            assert mode == (0o700 if each.is_dir() else 0o600), f"{each}: {mode:o}"
    attachment.call("DEL").silent()


def test_delegate_gets_a_clean_environment(node: Node, tmp_path: Path) -> None:
    """What the loader of a frozen executable needs must not reach a plugin that is not ours."""
    directory = tmp_path / "foreign"
    directory.mkdir()
    words = tmp_path / "environment"
    spy = directory / "spy"
    spy.write_text(f"#!/bin/sh\nenv -0 >{words}\nexec {GO / 'host-local'}\n")
    spy.chmod(0o755)
    ipam = {"type": "spy", "ranges": [[{"subnet": "10.66.0.0/24"}]], "dataDir": str(tmp_path)}
    conf = {"cniVersion": "1.0.0", "name": "odd", "type": "bridge", "ipam": ipam}
    pod = node.pod()
    extra = {"LD_LIBRARY_PATH": "/of/the/runtime", "CNI_ARGS": "IgnoreUnknown=1;A=b", "OWN": "x"}
    node.call("ADD", conf, pod, path=(OURS, directory, GO), extra=extra).result()
    seen = dict(each.split("=", 1) for each in words.read_text().split("\0") if each)
    assert seen["LD_LIBRARY_PATH"] == "/of/the/runtime"
    assert not [name for name in seen if name.startswith(("_PYI", "_MEI", "PYTHON"))]
    assert seen["OWN"] == "x"
    assert seen["CNI_COMMAND"] == "ADD"
    assert seen["CNI_ARGS"] == "IgnoreUnknown=1;A=b"
    assert seen["CNI_PATH"] == f"{OURS}:{directory}:{GO}"


def _path(text: str) -> Any:
    return text  # a Path would lose the "./" that a shell needs


def _script(directory: Path, body: str, interpreter: str = "") -> Path:
    """A script that takes a plugin's place; `interpreter` is put before its shell."""
    inner = directory / "inner.sh"
    inner.write_text(textwrap.dedent(body))
    script = directory / "script.sh"
    script.write_text(f"#!/bin/sh\nexec {interpreter} sh {inner}\n")
    script.chmod(0o755)
    return script


def _with_closed(attachment: Attachment, verb: str, redirection: str, **extra: str) -> Reply:
    """By a shell, which alone can start a process with a standard stream closed."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" {redirection}', attachment.executable],
        env=attachment.environ(verb) | extra,
        input=attachment.stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Reply(done.returncode, done.stdout.decode(), done.stderr.decode())
