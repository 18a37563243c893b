"""packaging/kubernetes: the manifests fit each other, the installer, and what the client asks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml

from cni.ctl import app
from cni.ctl.install.kubeconfig import ACCOUNT
from cni.ctl.install.place import BIN_DIR, CNI_DIR, CONF_DIR
from tests.packaging.conftest import REPOSITORY
from tests.unit.ctl.installation import SERVER, Node

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = REPOSITORY / "packaging/kubernetes"
ROOT = "/host"


def load(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def of_kind(name: str, kind: str) -> Any:
    (found,) = [each for each in load(name) if each["kind"] == kind]
    return found


def pod(name: str) -> Any:
    return of_kind(name, "DaemonSet")["spec"]["template"]["spec"]


def worker(name: str) -> Any:
    """The container that runs the tool."""
    spec = pod(name)
    (container,) = spec.get("initContainers") or spec["containers"]
    return container


def parameters(container: Any) -> dict[str, Any]:
    """The arguments as the tool takes them; raises for such as it does not."""
    command, *arguments = container["args"]
    tool: Any = typer.main.get_command(app.app)
    found: dict[str, Any] = tool.commands[command].make_context(command, list(arguments)).params
    return found


def host_paths(name: str) -> dict[str, str]:
    """What the tool sees of the node: the path in the container, and on the node."""
    paths = {
        each["name"]: each["hostPath"]["path"]
        for each in pod(name)["volumes"]
        if "hostPath" in each
    }
    mounts = worker(name)["volumeMounts"]
    return {each["mountPath"]: paths[each["name"]] for each in mounts if each["name"] in paths}


@pytest.mark.parametrize("file", sorted(each.name for each in FOLDER.glob("*.yaml")))
def test_they_are_objects_of_kubernetes(file: str) -> None:
    for document in load(file):
        assert document["apiVersion"] and document["kind"] and document["metadata"]["name"]


def test_the_rights_are_those_that_the_client_needs() -> None:
    granted = {
        (group, resource): sorted(rule["verbs"])
        for rule in of_kind("plait.yaml", "ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {
        ("", "pods"): ["get"],
        ("", "pods/status"): ["patch", "update"],
        ("k8s.cni.cncf.io", "network-attachment-definitions"): ["get"],
        ("", "events"): ["create"],
        ("whereabouts.cni.cncf.io", "ippools"): ["create", "get", "list", "patch"],
        ("whereabouts.cni.cncf.io", "overlappingrangeipreservations"): (
            ["create", "delete", "get", "list", "patch"]
        ),
        ("whereabouts.cni.cncf.io", "nodeslicepools"): ["get"],
    }


def test_the_account_has_the_role() -> None:
    account = of_kind("plait.yaml", "ServiceAccount")["metadata"]
    binding = of_kind("plait.yaml", "ClusterRoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert binding["roleRef"]["name"] == of_kind("plait.yaml", "ClusterRole")["metadata"]["name"]
    assert pod("plait.yaml")["serviceAccountName"] == account["name"]
    assert pod("plait.yaml").get("automountServiceAccountToken", True)
    assert ACCOUNT == "/var/run/secrets/kubernetes.io/serviceaccount"  # the kubelet's choice
    namespaces = {each["metadata"].get("namespace") for each in load("plait.yaml")} - {None}
    assert namespaces == {account["namespace"]} == {"kube-system"}


@pytest.mark.parametrize(
    ("file", "directories"),
    [("plait.yaml", {BIN_DIR, CONF_DIR}), ("uninstall.yaml", {BIN_DIR, CONF_DIR, "/var/lib/cni"})],
)
def test_mounts_are_where_the_tool_looks(file: str, directories: set[str]) -> None:
    assert host_paths(file) == {ROOT + each: each for each in directories}
    asked = parameters(worker(file))
    assert (asked["root"], asked["bin_dir"], asked["conf_dir"]) == (ROOT, BIN_DIR, CONF_DIR)
    assert CNI_DIR.startswith("/var/lib/cni/")


def test_ready_is_what_the_tool_says() -> None:
    container = worker("plait.yaml")
    asked = parameters(container)
    assert asked["watches"]
    assert container["readinessProbe"]["exec"]["command"] == ["test", "-f", asked["ready_file"]]
    writable = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "tmp"]
    assert [asked["ready_file"].rpartition("/")[0]] == writable


@pytest.mark.parametrize("file", ["plait.yaml", "uninstall.yaml"])
def test_on_every_node_with_no_more_rights_than_needed(file: str) -> None:
    spec = pod(file)
    assert spec["hostNetwork"] is True and spec["priorityClassName"] == "system-node-critical"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert not {"hostPID", "hostIPC"} & set(spec)
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        rights = container["securityContext"]
        assert not rights.get("privileged")
        assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
        assert rights["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE", "FOWNER"]}
        assert container["resources"]["limits"]["memory"]
        assert container["image"] == "plait:latest"


def test_selectors_select_the_pods() -> None:
    labels = []
    for file in ("plait.yaml", "uninstall.yaml"):
        spec = of_kind(file, "DaemonSet")["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        labels.append(spec["selector"]["matchLabels"])
    assert labels[0] != labels[1]


def test_uninstalling_needs_no_account() -> None:
    assert pod("uninstall.yaml")["automountServiceAccountToken"] is False
    assert worker("uninstall.yaml")["args"][0] == "uninstall"


def test_the_frozen_tool_does_what_the_manifests_ask(plugins: Path, tmp_path: Path) -> None:
    """As in the pods: their arguments, root without a capability; nobody else is on this node."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give up its capabilities")
    node, ready = Node(tmp_path), tmp_path / "ready"
    (node.bin / "bridge").write_text("another's")
    os.chown(node.bin, 997, 997)  # as kubespray has it
    before = node.content()
    asked = f"--ready-file={parameters(worker('plait.yaml'))['ready_file']}"

    def start(file: str, *more: str) -> subprocess.Popen[bytes]:
        moved = {f"--root={ROOT}": f"--root={node.root}", asked: f"--ready-file={ready}"}
        arguments = [moved.get(each, each) for each in worker(file)["args"]]
        powerless = [
            "setpriv",
            "--bounding-set=-all,+dac_override,+fowner",
            "--inh-caps=-all",
            "--no-new-privs",
        ]
        environ = {"PATH": os.environ["PATH"], **SERVER}
        return subprocess.Popen([*powerless, plugins / "plait", *arguments, *more], env=environ)

    with start("plait.yaml", f"--service-account={node.account}") as watcher:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert watcher.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        watcher.terminate()
        assert watcher.wait(60) == 0
    assert node.plugin["delegates"] and node.token == "token-1"
    answer = subprocess.run([node.bin / "multus"], env={"CNI_COMMAND": "VERSION"}, stdout=-1)
    assert node.listed["cniVersion"] in json.loads(answer.stdout)["supportedVersions"]
    with start("uninstall.yaml") as remover:
        assert remover.wait(60) == 0
    assert node.content() == before


def test_the_image_is_made_of_files_that_are_there() -> None:
    text = (FOLDER / "Containerfile").read_text()
    (entry,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', text, re.M)
    assert f"/build/bin {entry.rpartition('/')[0]}\n" in text
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for source in line.split():
            assert (REPOSITORY / source).exists(), source
    copied = {*re.findall(r"^COPY (\w+) \1$", text, re.M)}
    assert copied == {"cni", "ipam", "meta", "packaging"}  # what build.py reads, and its lock
