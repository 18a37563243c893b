"""packaging/systemd and packaging/kubernetes/reconcile.yaml ask for what the tool does."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pydantic  # noqa: F401  # before cni.core.load puts its stand-in there: typer needs all of it
import pytest
import typer.main
import yaml

from cni.ctl import app
from cni.ctl.leases import source
from cni.kube.access import from_kubeconfig
from tests.apiserver.resources import parse
from tests.apiserver.server import ApiServer
from tests.packaging.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNITS = REPOSITORY / "packaging/systemd"
MANIFEST = REPOSITORY / "packaging/kubernetes/reconcile.yaml"
API = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def of_kind(kind: str) -> Any:
    found = [each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == kind]
    assert len(found) == 1
    return found[0]


def pod() -> Any:
    return of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def parameters(arguments: list[str]) -> dict[str, Any]:
    """The arguments as `plait ipam reconcile` takes them; raises for such as it does not."""
    assert arguments[:2] == ["ipam", "reconcile"]
    tool: Any = typer.main.get_command(app.app)
    command = tool.commands["ipam"].commands["reconcile"]
    found: dict[str, Any] = command.make_context("reconcile", arguments[2:]).params
    return found


# systemd


def test_the_service_runs_the_tool() -> None:
    service = unit("plait-reconcile.service")
    executable, *arguments = service["Service"]["ExecStart"].split()
    assert arguments.pop() == "$PLAIT_RECONCILE_OPTIONS"
    assert parameters(arguments)["strikes"] == 3
    assert service["Unit"]["ConditionFileIsExecutable"] == executable == "/opt/cni/bin/plait"
    assert service["Unit"]["ConditionPathExists"] == source.database(source.state_dir({}))
    assert service["Service"]["ReadWritePaths"] == f"-{source.state_dir({})}"
    assert service["Service"]["Type"] == "oneshot"


def test_the_options_that_it_proposes() -> None:
    text = (UNITS / "plait-reconcile.service").read_text()
    (options,) = re.findall(r"PLAIT_RECONCILE_OPTIONS=(.*)", text)
    found = parameters(["ipam", "reconcile", *options.split()])
    assert found["kubeconfig"] and found["node"]
    environment = unit("plait-reconcile.service")["Service"]["EnvironmentFile"]
    assert f"in {environment.removeprefix('-')}:" in text


def test_the_timer_starts_it() -> None:
    timer = unit("plait-reconcile.timer")
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert {"OnBootSec", "OnUnitActiveSec", "RandomizedDelaySec"} == {*timer["Timer"]}


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    for each in UNITS.iterdir():
        text = each.read_text().replace("/opt/cni/bin/plait", "/bin/true")
        (tmp_path / each.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True, text=True,
    )  # fmt: skip
    said = verified.stdout + verified.stderr
    assert verified.returncode == 0 and "plait-reconcile" not in said, said


# Kubernetes


def test_the_account_has_the_roles() -> None:
    account = of_kind("ServiceAccount")["metadata"]
    for kind in ("Role", "ClusterRole"):
        binding = of_kind(f"{kind}Binding")
        assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
        assert binding["roleRef"]["kind"] == kind
        assert binding["roleRef"]["name"] == of_kind(kind)["metadata"]["name"]
    assert pod()["serviceAccountName"] == account["name"]


def test_no_more_rights_than_needed() -> None:
    (container,) = pod()["containers"]
    rights = container["securityContext"]
    assert rights["runAsNonRoot"] and rights["readOnlyRootFilesystem"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert container["image"] == "plait:latest" and container["resources"]["limits"]["memory"]
    (state,) = [each["value"] for each in container["env"] if each["name"] == "PLAIT_STATE_DIR"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod()["volumes"]}
    assert "emptyDir" in volumes[mounts[state]]
    assert "hostPath" not in str(volumes)


def test_it_has_the_time_that_it_takes() -> None:
    (container,) = pod()["containers"]
    asked = parameters(container["args"])
    job = of_kind("CronJob")["spec"]
    seconds = (asked["strikes"] - 1) * asked["interval"]
    assert seconds >= asked["grace"], "what is of unknown age would never be released"
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] > seconds + 600  # of its client
    assert job["concurrencyPolicy"] == "Forbid"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path) as server:
        yield server


def test_the_configuration_is_right(tmp_path: Path) -> None:
    data = of_kind("ConfigMap")["data"]
    flat = json.loads(data["whereabouts.conf"])
    (container,) = pod()["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert flat["kubernetes"]["kubeconfig"] == f"{mounts['conf']}/kubeconfig"
    assert parameters(container["args"])["conf"] == f"{mounts['conf']}/whereabouts.conf"
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text(name)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    file = tmp_path / "kubeconfig"
    file.write_text(data["kubeconfig"].replace(account, str(tmp_path)))
    access = from_kubeconfig(str(file))
    assert (access.token, access.ca, access.namespace) == ("token", "ca.crt", "kube-system")


def test_the_rights_are_those_that_the_tool_uses(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It releases a lease in a pool, with nothing allowed that the manifest does not allow."""
    granted = {
        (verb, resource)
        for kind in ("Role", "ClusterRole")
        for rule in of_kind(kind)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    kinds = ("pods", "ippools", "overlappingrangeipreservations", "nodeslicepools", "leases")
    for verb in verbs:
        for kind in kinds:
            if (verb, kind) not in granted:
                api.forbid(api.user, verb, kind)
    entry = {"id": "c2", "podref": "default/p2", "ifname": "net1"}
    spec = {"range": "10.0.0.0/24", "allocations": {"2": entry}}
    api.put_object(f"{API}/ippools/10.0.0.0-24", {"spec": spec})
    held = {"podref": "default/p2", "ifname": "net1"}
    api.put_object(f"{API}/overlappingrangeipreservations/10.0.0.2", {"spec": held})
    api.pod("default", "p1")
    data = of_kind("ConfigMap")["data"]
    conf = tmp_path / "whereabouts.conf"
    conf.write_text(data["whereabouts.conf"].replace("/etc/plait", str(tmp_path)))
    api.kubeconfig(tmp_path / "kubeconfig", namespace="kube-system")
    monkeypatch.setenv("PLAIT_STATE_DIR", str(tmp_path / "state"))
    (container,) = pod()["containers"]
    changes = {"--interval=60": "--interval=0.01", "--grace=120": "--grace=0"}
    arguments = [changes.get(each, each) for each in container["args"]]
    arguments = [each.replace("/etc/plait", str(tmp_path)) for each in arguments]
    assert app.main(arguments) == 0
    found = api.get(f"{API}/ippools/10.0.0.0-24")
    assert found and found["spec"]["allocations"] == {}
    assert not api.get(f"{API}/overlappingrangeipreservations/10.0.0.2")
    assert {each.status for each in api.requests} <= {200, 201}
    of = [(each, parse(each.path.partition("?")[0])) for each in api.requests]
    used = {(_verb(each.method, bool(target.name)), target.plural) for each, target in of if target}
    assert used <= granted
    unused = granted - used
    assert unused <= {
        ("patch", "overlappingrangeipreservations"),  # it becomes a hold
        ("get", "ippools"),  # after a conflict
        ("get", "nodeslicepools"),
    }


def _verb(method: str, is_object: bool) -> str:
    return {"GET": "get" if is_object else "list"}.get(method, method.lower())


def test_the_frozen_tool_has_all_that_it_needs(
    plugins: Path, api: ApiServer, tmp_path: Path
) -> None:
    """Modules that only some commands import, netaddr and TLS among them."""
    api.pod("default", "p1")
    entry = {"id": "c2", "podref": "default/p2", "ifname": "net1"}
    spec = {"range": "10.0.0.0/24", "allocations": {"2": entry}}
    api.put_object(f"{API}/ippools/10.0.0.0-24", {"spec": spec})
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig", namespace="kube-system")
    ipam = {"type": "whereabouts", "range": "10.0.0.0/24"}
    pools = {**ipam, "kubernetes": {"kubeconfig": str(kubeconfig)}}
    for name, section in (("pools", pools), ("here", {**ipam, "datastore": "file"})):
        conf = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": section}
        (tmp_path / name).write_text(json.dumps(conf))

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [plugins / "plait", *arguments],
            env={"PLAIT_STATE_DIR": str(tmp_path / "state")}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(run("leases", "usage", "--json", "--conf", f"{tmp_path}/pools"))["ranges"]
    once = ("--conf", f"{tmp_path}/pools", "--strikes", "1", "--grace", "0", "--dry-run")
    assert "1 to be released" in run("ipam", "reconcile", *once)
    cluster = ("--whereabouts", "--kubeconfig", str(kubeconfig))
    assert "imported: 1 leases" in run("ipam", "import", "--network", "net", *cluster)
    assert 'state="leased"} 1\n' in run("leases", "metrics", "--conf", f"{tmp_path}/here")
    assert run("ipam", "check").startswith("fine: ")
