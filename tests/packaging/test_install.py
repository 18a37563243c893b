"""packaging/install: what it puts into a directory of plugins, replaces, keeps and takes away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = REPOSITORY / "packaging/install"
CALL = {"CNI_COMMAND": "VERSION"}


class Node:
    """A directory of plugins, and the installer as a certain shell runs it."""

    def __init__(self, shell: list[str], bindir: Path) -> None:
        self.shell = shell
        self.bindir = bindir

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [*self.shell, SCRIPT, "--bindir", self.bindir, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def install(self, source: Path, *arguments: str) -> str:
        done = self.run("--source", source, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def uninstall(self) -> str:
        done = self.run("--uninstall")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def call(self, name: str) -> str:
        return subprocess.run(
            [self.bindir / name], env=CALL, capture_output=True, text=True, check=True
        ).stdout

    def folders(self) -> set[str]:
        return {file.parent.name for file in self.bindir.glob(".plait-*/release")}

    def content(self) -> dict[str, str | bytes]:
        """Everything that is there, by its path."""
        return {
            str(path.relative_to(self.bindir)): (
                os.readlink(path) if path.is_symlink() else path.read_bytes()
            )
            for path in self.bindir.rglob("*")
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture(params=["sh", "busybox"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    if request.param == "busybox" and not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    shell = ["busybox", "sh"] if request.param == "busybox" else ["/bin/sh"]
    bindir = tmp_path / "node/bin"
    bindir.mkdir(parents=True)
    return Node(shell, bindir)


def make(directory: Path, release: str, *types: str) -> Path:
    """A release with an executable that prints its release, as the build would lay it out."""
    folder = directory / ".plait"
    (folder / "lib").mkdir(parents=True)
    (folder / "plait").write_text(f"#!/bin/sh\necho {release} ${{0##*/}}\n")
    (folder / "plait").chmod(0o755)
    (folder / "lib/part").write_text(release)
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name in ("lib/part", "plait")
        )
    )
    (folder / "release").write_text(f"{release}\n")
    (directory / "plait").symlink_to(".plait/plait")
    for each in types or ("bridge", "static"):
        (directory / each).symlink_to("plait")
    return directory


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return make(tmp_path / "one", "1-aaa")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return make(tmp_path / "two", "2-bbb")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return make(tmp_path / "three", "3-ccc")


def test_installs_what_was_built(node: Node, plugins: Path) -> None:
    node.install(plugins)
    names = {entry.name for entry in plugins.iterdir()} - {".plait"}
    assert {path.name for path in node.bindir.glob("[!.]*")} == names
    assert json.loads(node.call("bridge"))["cniVersion"]
    for path in node.bindir.rglob("*"):
        executable = path.is_dir() or path.name in names or ".so" in path.name
        assert path.stat().st_mode & 0o777 == (0o755 if executable else 0o644), path


def test_umask_of_the_caller_plays_no_part(node: Node, one: Path) -> None:
    before = os.umask(0o077)
    try:
        node.install(one)
    finally:
        os.umask(before)
    assert (node.bindir / ".plait-1-aaa/lib").stat().st_mode & 0o777 == 0o755
    assert (node.bindir / ".plait-1-aaa/lib/part").stat().st_mode & 0o777 == 0o644


def test_a_second_time_changes_nothing(node: Node, one: Path) -> None:
    node.install(one)
    before = node.content()
    node.install(one)
    assert node.content() == before


def test_the_manifest_lists_every_file(node: Node, one: Path) -> None:
    node.install(one)
    manifest = (node.bindir / ".plait-manifest").read_text().splitlines()
    links = {line.split()[1] for line in manifest if line.startswith("link ")}
    sums = {line.split()[2]: line.split()[1] for line in manifest if line.startswith("sha256 ")}
    assert links == {"plait", "bridge", "static"}
    for path, digest in sums.items():
        assert hashlib.sha256((node.bindir / path).read_bytes()).hexdigest() == digest
    unlisted = {".plait-manifest", ".plait-1-aaa/release", ".plait-1-aaa/SHA256SUMS"}
    assert set(node.content()) == links | set(sums) | unlisted


def test_an_upgrade_keeps_one_generation_back(
    node: Node, one: Path, two: Path, three: Path
) -> None:
    node.install(one)
    node.install(two)
    assert node.call("bridge") == "2-bbb bridge\n"
    assert node.folders() == {".plait-1-aaa", ".plait-2-bbb"}
    node.install(two)
    assert node.folders() == {".plait-1-aaa", ".plait-2-bbb"}
    node.install(three)
    assert node.folders() == {".plait-2-bbb", ".plait-3-ccc"}
    node.install(two)  # back
    assert node.call("static") == "2-bbb static\n"
    assert node.folders() == {".plait-2-bbb", ".plait-3-ccc"}


def test_a_type_that_the_new_release_lacks_goes(node: Node, one: Path, tmp_path: Path) -> None:
    node.install(one)
    node.install(make(tmp_path / "less", "2-bbb", "bridge"))
    assert {path.name for path in node.bindir.glob("[!.]*")} == {"plait", "bridge"}


def test_no_foreign_plugin_is_replaced(node: Node, one: Path) -> None:
    (node.bindir / "static").write_text("someone else's")
    (node.bindir / "bridge").symlink_to("/usr/lib/cni/bridge")
    before = node.content()
    done = node.run("--source", one)
    assert done.returncode == 1
    assert "not installed by Plait: bridge static" in done.stderr
    assert node.content() == before


def test_force_keeps_what_it_replaces_until_it_is_uninstalled(
    node: Node, one: Path, two: Path
) -> None:
    (node.bindir / "static").write_text("someone else's")
    (node.bindir / "static").chmod(0o750)
    (node.bindir / "bridge").symlink_to("/usr/lib/cni/bridge")
    (node.bindir / "tuning").write_text("not our business")
    before = node.content()
    assert "static as static.before-plait" in node.install(one, "--force")
    assert node.call("static") == "1-aaa static\n"
    assert node.content()["static.before-plait"] == b"someone else's"
    node.install(two)  # an upgrade needs no force
    node.uninstall()
    assert node.content() == before
    assert (node.bindir / "static").stat().st_mode & 0o777 == 0o750


def test_a_package_that_comes_back_is_foreign_again(node: Node, one: Path) -> None:
    (node.bindir / "static").write_text("old")
    node.install(one, "--force")
    (node.bindir / "static").unlink()
    (node.bindir / "static").write_text("new")
    assert node.run("--source", one).returncode == 1
    node.install(one, "--force")
    node.uninstall()
    assert node.content() == {"static": b"new"}


def test_a_directory_is_never_replaced(node: Node, one: Path) -> None:
    (node.bindir / "static").mkdir()
    assert "is a directory" in node.run("--source", one, "--force").stderr
    assert not node.content()


def test_uninstalling_leaves_nothing_and_takes_nothing_else(node: Node, one: Path) -> None:
    (node.bindir / "tuning").write_text("not our business")
    (node.bindir / ".plait-of-someone").write_text("neither")
    before = node.content()
    node.install(one)
    node.uninstall()
    assert node.content() == before
    node.uninstall()


def test_directories_that_it_made_go_too(node: Node, one: Path, tmp_path: Path) -> None:
    node.bindir = tmp_path / "node/opt/with space/bin"
    node.install(one)
    node.install(one)
    node.uninstall()
    assert {path.name for path in (tmp_path / "node").iterdir()} == {"bin"}


def test_a_relative_directory(node: Node, one: Path, tmp_path: Path) -> None:
    command = [*node.shell, str(SCRIPT), "--source", "one", "--bindir", "node/new/bin"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "node/new/bin/bridge").is_file()
    subprocess.run([*command, "--uninstall"], cwd=tmp_path, check=True)
    assert not (tmp_path / "node/new").exists()


def test_a_damaged_source_is_refused(node: Node, one: Path) -> None:
    (one / ".plait/lib/part").write_text("damaged")
    assert "damaged" in node.run("--source", one).stderr
    assert not node.content()


def test_a_damaged_installation_is_repaired(node: Node, one: Path) -> None:
    node.install(one)
    (node.bindir / ".plait-1-aaa/lib/part").write_text("damaged")
    node.install(one)
    assert os.readlink(node.bindir / "plait") == ".plait-1-aaa.1/plait"
    assert (node.bindir / ".plait-1-aaa.1/lib/part").read_text() == "1-aaa"


def test_what_an_interrupted_run_left_goes(node: Node, one: Path) -> None:
    (node.bindir / ".plait-new.1/lib").mkdir(parents=True)
    (node.bindir / ".plait-link.1").symlink_to("plait")
    node.install(one)
    assert node.folders() == {".plait-1-aaa"}
    assert not {".plait-new.1", ".plait-link.1"} & {path.name for path in node.bindir.iterdir()}


def test_no_source(node: Node, tmp_path: Path) -> None:
    assert "run make build" in node.run("--source", tmp_path).stderr


@pytest.mark.parametrize("arguments", [["--unknown"], ["--source"]])
def test_wrong_arguments(node: Node, arguments: list[str]) -> None:
    assert node.run(*arguments).returncode == 2
    assert not node.content()


def test_a_running_plugin_goes_on_through_upgrades(
    node: Node, plugins: Path, one: Path, two: Path, three: Path
) -> None:
    """It reads its configuration, imports its modules and answers after its release has gone."""
    node.install(plugins)
    (old,) = node.folders()
    with subprocess.Popen(
        [node.bindir / "bridge"],
        env={
            "CNI_COMMAND": "DEL",
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(node.bindir),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        while "/.plait-" not in os.readlink(f"/proc/{process.pid}/exe"):
            pass
        node.install(one)
        node.install(two)
        assert node.folders() == {old, ".plait-1-aaa", ".plait-2-bbb"}
        answer, _ = process.communicate(b'{"cniVersion": "1.0.0", "name": "bad name!"}', timeout=20)
        assert json.loads(answer)["code"] == 7
    node.install(three)
    assert node.folders() == {".plait-2-bbb", ".plait-3-ccc"}


def test_at_no_moment_is_a_plugin_missing(node: Node, one: Path, two: Path) -> None:
    (node.bindir / "bridge").write_text("#!/bin/sh\necho 0 bridge\n")
    (node.bindir / "bridge").chmod(0o755)
    failures: list[Exception] = []
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                assert node.call("bridge").endswith(" bridge\n")
            except (OSError, AssertionError, subprocess.CalledProcessError) as failure:
                failures.append(failure)

    caller = threading.Thread(target=call)
    caller.start()
    for _ in range(5):
        node.install(one, "--force")
        node.install(two)
        node.uninstall()
    over.set()
    caller.join()
    assert not failures


def test_two_at_once(node: Node, one: Path, two: Path) -> None:
    runs = [
        subprocess.Popen([*node.shell, SCRIPT, "--bindir", node.bindir, "--source", source])
        for source in (one, two) * 4
    ]
    assert [run.wait(60) for run in runs] == [0] * 8
    assert node.call("bridge") in ("1-aaa bridge\n", "2-bbb bridge\n")
    assert node.folders() == {".plait-1-aaa", ".plait-2-bbb"}
    node.uninstall()
    assert not node.content()
