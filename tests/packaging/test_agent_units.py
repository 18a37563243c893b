"""How the agent is started: what would make it refuse every call must not be asked for."""

from __future__ import annotations

import configparser
from typing import Any

import pytest
import yaml

from cni.agent import socket_path
from tests.packaging.conftest import REPOSITORY

#: directives that give a service other namespaces, rights or roots than its neighbours have
ELSEWHERE = (
    *("Private", "Protect", "Restrict", "ReadOnly", "ReadWrite", "Inaccessible", "Bind", "Root"),
    *("Capability", "NoNew", "SystemCall", "Network", "User", "Group", "Dynamic", "Temporary"),
)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(REPOSITORY / "packaging/systemd" / name)
    return parser


def test_the_socket_is_where_executables_look() -> None:
    socket = unit("plait-agent.socket")["Socket"]
    assert socket["ListenStream"] == socket_path("")
    assert (socket["SocketMode"], socket["DirectoryMode"]) == ("0600", "0700")


def test_the_service_is_where_a_runtime_s_is() -> None:
    service = unit("plait-agent.service")["Service"]
    assert service["ExecStart"] == "/opt/cni/bin/plait agent"
    assert [key for key in service if key.startswith(ELSEWHERE)] == []


def test_calls_outlive_the_service() -> None:
    service = unit("plait-agent.service")["Service"]
    assert (service["KillMode"], service["Restart"]) == ("process", "always")


@pytest.fixture
def pod() -> Any:
    manifest = REPOSITORY / "packaging/kubernetes/agent.yaml"
    (found,) = yaml.safe_load_all(manifest.read_text())
    return found["spec"]["template"]["spec"]


def test_the_pod_runs_the_node_s_executable_in_the_node_s_namespaces(pod: Any) -> None:
    (container,) = pod["containers"]
    nsenter, *options = container["command"]
    assert nsenter == "nsenter" and options[-2:] == ["/opt/cni/bin/plait", "agent"]
    assert {"--target=1", "--mount", "--uts", "--net"} <= set(options)
    assert pod["hostPID"] and pod["hostNetwork"] and container["securityContext"]["privileged"]


def test_the_pod_has_no_account(pod: Any) -> None:
    assert pod["automountServiceAccountToken"] is False
