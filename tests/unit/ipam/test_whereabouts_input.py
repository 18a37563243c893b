"""whereabouts: what it reads, from the configuration and the flat file, and every refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.ipam.harness import Host, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ipam.harness import Json

NET = whereabouts("10.0.0.0/24")


BAD = [
    ({"range": 5}, ("ipam.range", "5")),
    ({"range": "10.0.0.0"}, ("ipam.range", "invalid CIDR 10.0.0.0")),
    ({"range": "10.0.0.0/33"}, ("ipam.range", "invalid CIDR 10.0.0.0/33")),
    ({"range": "10.0.0.0/24 "}, ("ipam.range", "invalid CIDR 10.0.0.0/24 ")),
    ({"range": "x-10.0.0.9/24"}, ("ipam.range", "invalid range start IP: x")),
    ({"range": "10.0.0.1-10.0.0.9"}, ("ipam.range", "invalid CIDR", "'10.0.0.9'")),
    ({"range": "10.0.0.1-"}, ("ipam.range", "invalid CIDR", "''")),
    ({"range": "fd00::1-10.0.0.9/24"}, ("ipam.range", "invalid range start", "fd00::1")),
    ({"range": "10.0.0.0/31"}, ("ipam.range", "10.0.0.0/31", "too small")),
    ({"range_start": 7}, ("ipam.range_start", "7")),
    ({"range_end": ["x"]}, ("ipam.range_end", '["x"]')),
    ({"exclude": "10.0.0.1"}, ("ipam.exclude", '"10.0.0.1"')),
    ({"exclude": ["10.0.0.1", None]}, ("ipam.exclude.1", "null")),
    ({"exclude": ["10.0.0.1", "010.0.0.1"]}, ("ipam.exclude[1]", "010.0.0.1")),
    ({"exclude": [""]}, ("ipam.exclude[0]", "invalid CIDR address: ")),
    ({"ipRanges": {}}, ("ipam.ipRanges", "{}")),
    ({"ipRanges": [{}]}, ("ipam.ipRanges.0.range", "required")),
    ({"ipRanges": [{"range": ""}]}, ("ipam.ipRanges[0].range", "invalid CIDR")),
    (
        {"ipRanges": [{"range": "fd00::/64"}, {"range": "fd01::/64", "range_start": "x"}]},
        ("ipam.ipRanges[1].range_start", "invalid IP address: x"),
    ),
    (
        {"ipRanges": [{"range": "fd00::/64", "range_end": "fd00::/64"}]},
        ("ipam.ipRanges[0].range_end", "invalid IP address: fd00::/64"),
    ),
    (
        {"ipRanges": [{"range": "fd00::/64", "exclude": ["fd00::/65", "y"]}]},
        ("ipam.ipRanges[0].exclude[1]", "y"),
    ),
    ({"gateway": "10.0.0"}, ("ipam.gateway", "10.0.0")),
    ({"gateway": 1}, ("ipam.gateway", "1")),
    ({"routes": [{"dst": "x"}]}, ("ipam.routes[0].dst", "x")),
    ({"dns": {"search": [1]}}, ("ipam.dns.search.0", "1")),
    (
        {"addresses": [{"address": "10.0.0.1"}]},
        ("ipam.addresses[0].address", "invalid CIDR in addresses '10.0.0.1'"),
    ),
    ({"enable_overlapping_ranges": "sometimes"}, ("enable_overlapping_ranges", "sometimes")),
    ({"network_name": 1}, ("ipam.network_name", "1")),
    ({"sleep_for_race": "1"}, ("ipam.sleep_for_race", '"1"')),
    ({"leader_lease_duration": 1.5}, ("ipam.leader_lease_duration", "1.5")),
    ({"node_slice_size": 26}, ("ipam.node_slice_size", "26")),
    ({"kubernetes": "x"}, ("ipam.kubernetes", '"x"')),
    ({"configuration_path": "/nonexistent/f"}, ("configuration_path", "/nonexistent/f")),
]


@pytest.mark.parametrize(("keys", "texts"), BAD)
def test_bad_input_names_key_and_value(host: Host, keys: Json, texts: tuple[str, ...]) -> None:
    conf = {**NET, **keys}
    text = host.call("ADD", conf).error(7)
    assert all(each in text for each in texts), text
    assert not host.state.exists()
    host.delete(conf)
    assert not host.state.exists()


def test_no_ipam_section(host: Host) -> None:
    assert "IPAM config missing 'ipam' key" in host.call("ADD", None).error(7)


def test_bounds_that_are_no_addresses(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    """Beside the top-level range the original ignores them; so do we, but not silently."""
    conf = {**NET, "range_start": "10.0.0.100/24", "range_end": "tomorrow"}
    assert host.add(conf) == ["10.0.0.1/24"]
    err = capfd.readouterr().err
    assert "key=ipam.range_start value=10.0.0.100/24" in err
    assert "key=ipam.range_end value=tomorrow" in err


def test_keys_that_only_the_cluster_needs_are_accepted(host: Host) -> None:
    conf = {
        **NET,
        "etcd_host": "http://localhost:2379",
        "etcd_password": "p",
        "log_file": "/nonexistent/log",
        "log_level": "debug",
        "leader_lease_duration": 1500,
        "leader_renew_deadline": 1000,
        "leader_retry_period": 500,
        "node_slice_size": "/26",
        "sleep_for_race": 3,
        "reconciler_cron_expression": "30 4 * * *",
        "kubernetes": {"kubeconfig": "", "k8s_api_root": "https://10.0.0.1"},
        "something_new": {"of": "tomorrow"},
    }
    assert host.add(conf) == ["10.0.0.1/24"]


def test_keys_match_in_any_case_and_null_is_absent(host: Host) -> None:
    conf = {
        "type": "whereabouts",
        "Range": "10.0.0.0/24",
        "RANGE_START": "10.0.0.5",
        "exclude": None,
        "IPRanges": [{"RANGE": "fd00::/64", "range_end": None}],
        "Enable_Overlapping_Ranges": "true",
    }
    assert host.add(conf) == ["10.0.0.5/24", "fd00::1/64"]


class TestFlatFile:
    @pytest.fixture
    def flat(self, tmp_path: Path) -> Path:
        return tmp_path / "whereabouts.conf"

    def conf(self, flat: Path, **keys: Any) -> Json:
        return {"type": "whereabouts", "configuration_path": str(flat), **keys}

    def test_fills_what_is_empty(self, host: Host, flat: Path) -> None:
        flat.write_text(
            json.dumps(
                {
                    "Range": "10.5.0.0/24",
                    "range_start": "10.5.0.50",
                    "gateway": "10.5.0.1",
                    "exclude": ["10.5.0.50"],
                    "network_name": "blue",
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dns": {"nameservers": ["1.1.1.1"], "domain": "flat"},
                    "addresses": [{"address": "10.9.0.1/24"}],
                    "ipRanges": [{"range": "fd05::/64"}],
                }
            )
        )
        conf = self.conf(flat, exclude=[], dns={"domain": "own"}, gateway="")
        value = host.call("ADD", conf).ok()
        assert value["ips"] == [
            {"address": "10.5.0.51/24", "gateway": "10.5.0.1"},
            {"address": "fd05::1/64"},
            {"address": "10.9.0.1/24"},
        ]
        assert value["routes"] == [{"dst": "0.0.0.0/0"}]
        assert value["dns"] == {"nameservers": ["1.1.1.1"], "domain": "own"}
        assert host.add(whereabouts("10.5.0.0/24"), "c2") == ["10.5.0.1/24"]

    def test_a_standard_path(self, host: Host, flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flat.write_text('{"gateway": "10.0.0.1"}')
        second = flat.with_name("second.conf")
        second.write_text('{"gateway": "10.0.0.2"}')
        paths = ("/nonexistent/whereabouts.conf", str(flat), str(second))
        monkeypatch.setattr("ipam.settings.STANDARD_PATHS", paths)
        assert host.call("ADD", NET).ok()["ips"][0]["gateway"] == "10.0.0.1"
        own = {**NET, "configuration_path": str(second)}
        assert host.call("ADD", own).ok()["ips"][0]["gateway"] == "10.0.0.2"
        gone = {**NET, "configuration_path": "/nonexistent/f"}
        host.call("ADD", gone).error(7)

    def test_a_directory(self, host: Host, flat: Path) -> None:
        flat.write_text('{"range": "10.5.0.0/24"}')
        assert host.add(self.conf(flat.parent)) == ["10.5.0.1/24"]

    @pytest.mark.parametrize(
        ("text", "code", "words"),
        [
            ("", 6, "flat file"),
            ("[]", 6, "must be a JSON object"),
            ("{", 6, "cannot decode"),
            ('{"range": 7}', 7, "range"),
        ],
    )
    def test_broken(self, host: Host, flat: Path, text: str, code: int, words: str) -> None:
        flat.write_text(text)
        error = host.call("ADD", self.conf(flat)).error(code)
        assert words in error
        assert str(flat) in error

    def test_a_store_that_cannot_be_opened(self, host: Host, flat: Path) -> None:
        """It is never the store of this node that stands in for the cluster's."""
        flat.write_text('{"datastore": "kubernetes", "kubernetes": {"kubeconfig": "/etc/kc"}}')
        assert "/etc/kc" in host.call("ADD", self.conf(flat, range="10.0.0.0/24")).error(5)
        own = {**NET, "kubernetes": {"kubeconfig": "/etc/kc2"}}
        assert "/etc/kc2" in host.call("ADD", own).error(5)
        assert "kubeconfig" in host.call("ADD", {**NET, "datastore": "kubernetes"}).error(7)
        assert "etcd_host" in host.call("ADD", {**NET, "datastore": "etcd"}).error(7)
        assert not host.state.exists()

    def test_what_the_file_store_holds_is_released_all_the_same(
        self, host: Host, flat: Path
    ) -> None:
        host.add(NET, "c1")
        host.add(NET, "c2")
        flat.write_text('{"kubernetes": {"kubeconfig": "/etc/kc"}}')
        host.delete(self.conf(flat), "c1")
        assert host.add(NET, "c3") == ["10.0.0.1/24"]
        c3 = {"containerID": "c3", "ifname": "eth0"}
        valid: dict[str, Any] = {"cni.dev/valid-attachments": [c3]}
        host.call("GC", self.conf(flat), cniVersion="1.1.0", **valid).ok()
        assert host.add(NET, "c4") == ["10.0.0.2/24"]
