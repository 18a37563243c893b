"""The committed schemas are those of the models, and judge as the models do."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from cni.core.errors import CniError
from cni.core.load import load
from cni.core.schemas import SCHEMAS

ROOT = Path(__file__).resolve().parents[2]

CORPUS: list[tuple[str, dict[str, Any]]] = [
    ("cni.conf:Bridge", {}),
    ("cni.conf:Bridge", {"vlan": 4094, "isGateway": "true", "mtu": 9000}),
    ("cni.conf:Bridge", {"vlan": 4095}),
    ("cni.conf:Bridge", {"vlan": "100"}),
    ("cni.conf:Bridge", {"vlan": True}),
    ("cni.conf:Bridge", {"mtu": -1}),
    ("cni.conf:Bridge", {"mtu": 1500.0}),
    ("cni.conf:Bridge", {"bridge": 7}),
    ("cni.conf:Bridge", {"vlanTrunk": [{"minID": 1, "maxID": 4094}, {"id": 7}, {}]}),
    ("cni.conf:Bridge", {"vlanTrunk": [{"id": 0}]}),
    ("cni.conf:Bridge", {"vlanTrunk": {"id": 1}}),
    ("cni.conf:Bridge", {"isGateway": "perhaps"}),
    ("cni.conf:Bridge", {"ipMasqBackend": "ipfw"}),
    ("cni.conf:Bridge", {"args": {"cni": {"mac": "02:00:00:00:00:01"}}, "unknown": [1]}),
    ("cni.conf:Bridge", {"args": {"cni": {"mac": 5}}}),
    ("cni.conf:HostDevice", {"device": "eth1", "runtimeConfig": {"deviceID": "0000:00:01.0"}}),
    ("cni.conf:HostDevice", {"runtimeConfig": "x"}),
    ("ipam.conf:Static", {"addresses": [{"address": "10.0.0.1/24"}], "routes": [{"dst": "::/0"}]}),
    ("ipam.conf:HostLocal", {"ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9"}]]}),
    ("ipam.conf:HostLocal", {"subnet": "10.0.0.0/24", "ranges": [], "dataDir": "/d"}),
    ("ipam.conf:HostLocal", {"ranges": [{"subnet": "10.0.0.0/24"}]}),
    ("ipam.conf:HostLocal", {"ranges": [[{}]]}),
    ("ipam.conf:HostLocalPlace", {"dataDir": 7}),
    ("ipam.conf:HostLocalRuntime", {"ipRanges": [[{"subnet": "10.0.0.0/24"}], []]}),
    ("ipam.conf:Static", {"addresses": [{}]}),
    ("ipam.conf:Whereabouts", {"range": "10.0.0.0/24", "exclude": ["10.0.0.1/32"]}),
    ("ipam.conf:Whereabouts", {"range": 10}),
    ("ipam.conf:Whereabouts", {"exclude": "10.0.0.1/32"}),
    ("meta.conf:Multus", {"delegates": [{"type": "bridge"}], "logToStderr": "true"}),
    ("meta.conf:Multus", {"delegates": {"type": "bridge"}}),
    ("meta.conf:Selection", {"name": "a", "ips": ["10.0.0.1"], "default-route": []}),
    ("meta.conf:Selection", {"name": "a", "portMappings": [{"hostPort": 65536}]}),
]


def test_the_committed_schemas_are_current() -> None:
    generate = runpy.run_path(str(ROOT / "packaging" / "schemas.py"))["generate"]
    committed = (ROOT / "cni" / "core" / "schemas.py").read_text()
    assert generate() == committed, "run: python packaging/schemas.py"


@pytest.mark.parametrize(("name", "data"), CORPUS)
def test_schema_and_model_agree(name: str, data: dict[str, Any]) -> None:
    module, _, class_name = name.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), class_name)
    try:
        expected: Any = model.model_validate(data).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        with pytest.raises(CniError) as refused:
            load(name, data)
        assert f'"{key}"' in refused.value.msg
        return
    assert _plain(load(name, data)) == expected


def test_every_model_is_lowered() -> None:
    assert {name.partition(":")[0] for name in SCHEMAS} == {"cni.conf", "ipam.conf", "meta.conf"}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_copy"):
        return {key: _plain(item) for key, item in vars(value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
