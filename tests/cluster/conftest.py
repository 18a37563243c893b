"""The cluster of all tests here; its server is built while the tests before them run.

`fetch download` has to have run; what is built needs no network.

PLAIT_NEED_CLUSTER  set to make a failure of what is a reason to skip otherwise
PLAIT_BIN           the plugins' directory, <repository>/build/bin when unset
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import CACHE, MANIFESTS, Cluster
from tests.netns.node import Node, fresh_node

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PATIENCE = 1800  #: seconds, of the first test for the build: a busy core needs five minutes
_BUILD = pytest.StashKey[subprocess.Popen[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """At the end, where the build has had its time; only the virtual machine needs more."""
    items.sort(key=lambda item: 2 * item.path.is_relative_to(HERE.parent / "vm") + _is_here(item))
    for item in filter(_is_here, items):
        item.add_marker(pytest.mark.timeout(PATIENCE + 300))


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(map(_is_here, session.items)) and not session.config.option.collectonly
    if wanted and any((CACHE / name).exists() for name in ("recipe", "work/downloaded")):
        session.config.stash[_BUILD] = subprocess.Popen(
            [HERE / "fetch"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def pytest_sessionfinish(session: pytest.Session) -> None:
    build = session.config.stash.get(_BUILD, None)
    if build is not None and build.poll() is None:
        os.killpg(build.pid, signal.SIGTERM)
        build.wait()


def _is_here(item: pytest.Item) -> bool:
    return item.path.is_relative_to(HERE)


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """With the resource of networks, and nothing in it."""
    build = request.config.stash.get(_BUILD, None)
    if build is None:
        end = pytest.fail if os.environ.get("PLAIT_NEED_CLUSTER") else pytest.skip
        end("there is no kube-apiserver: run tests/cluster/fetch")
    said, _ = build.communicate(timeout=PATIENCE)
    assert build.returncode == 0, said
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.apply(MANIFESTS / "crd.yaml")
        yield cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the cluster for this test."""
    return cluster.namespace()


def as_before_surges(manifest: str) -> str:
    """A manifest for this API server: DaemonSets have `maxSurge` since Kubernetes 1.22."""
    text = (MANIFESTS / manifest).read_text()
    return text.replace(
        "      maxSurge: 10%\n      maxUnavailable: 0\n", "      maxUnavailable: 10%\n"
    )


@pytest.fixture(scope="session")
def released(cluster: Cluster) -> str:
    """A token of the service account that our manifest makes, with the rights that it has."""
    cluster.apply(as_before_surges("plait.yaml"))
    return cluster.service_account_token("kube-system", "plait")


@pytest.fixture(scope="session")
def plugins() -> Path:
    """The directory of the executables under test."""
    directory = Path(os.environ.get("PLAIT_BIN") or REPOSITORY / "build/bin").absolute()
    if not (directory / "multus").exists():
        pytest.fail(f"no plugins in {directory}: build them, or set PLAIT_BIN")
    return directory


@pytest.fixture
def node(cluster: Cluster, tmp_path: Path) -> Iterator[Node]:
    """A node of its own for the test, which reaches the API server."""
    with fresh_node(tmp_path) as fresh:
        cluster.connect(fresh)
        yield fresh
