"""What becomes of an address after its release, and pods that have addresses of their own.

By the plugin, with the store of this node; what any store does with it is in store_suite.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.ipam.harness import Host

NET = {"type": "whereabouts", "range": "10.0.0.0/29"}  # .1 to .6


def pod(name: str) -> str:
    return f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"


def prefers(address: str) -> dict[str, Any]:
    """As multus passes the pod's annotation on; the harness has another `args`."""
    return {"Args": {"cni": {"preferred-ip": address}}}


def add(host: Host, conf: dict[str, Any], container: str, name: str = "", **extra: Any) -> str:
    reply = host.call("ADD", conf, container, args=pod(name) if name else "", **extra).ok()
    (ip,) = reply["ips"]
    return str(ip["address"]).partition("/")[0]


def delete(host: Host, conf: dict[str, Any], container: str) -> None:
    host.call("DEL", conf, container).ok()


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: now)


def test_by_default_an_address_is_free_at_once(host: Host) -> None:
    assert add(host, NET, "c1") == "10.0.0.1"
    delete(host, NET, "c1")
    assert add(host, NET, "c2") == "10.0.0.1"


def test_an_address_rests_before_others_get_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {**NET, "cooldown": 60}
    assert add(host, conf, "c1") == "10.0.0.1"
    delete(host, conf, "c1")
    assert add(host, conf, "c2") == "10.0.0.2"
    later(monkeypatch, 61)
    assert add(host, conf, "c3") == "10.0.0.1"


def test_rest_is_a_preference_that_fails_nobody(host: Host) -> None:
    conf = {**NET, "cooldown": 60}
    for number in range(1, 7):
        add(host, conf, f"c{number}")
    for number in (3, 1):
        delete(host, conf, f"c{number}")
    assert [add(host, conf, f"d{number}") for number in (1, 2)] in (
        ["10.0.0.3", "10.0.0.1"],
        ["10.0.0.1", "10.0.0.3"],  # both were released in one second
    )
    host.call("ADD", conf, "d3").error(100)


def test_a_pod_gets_its_address_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {**NET, "sticky": True}
    assert add(host, conf, "c1", "web-0") == "10.0.0.1"
    assert add(host, conf, "c2", "web-1") == "10.0.0.2"
    for container in ("c1", "c2"):
        delete(host, conf, container)
    later(monkeypatch, 1e6)
    assert add(host, conf, "c3", "other") == "10.0.0.3"
    assert add(host, conf, "c4", "web-1") == "10.0.0.2"
    assert add(host, conf, "c5", "web-0") == "10.0.0.1"


def test_it_waits_no_longer_than_it_should(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {**NET, "sticky": True, "sticky_seconds": 3600}
    assert add(host, conf, "c1", "web-0") == "10.0.0.1"
    delete(host, conf, "c1")
    assert add(host, conf, "c2", "other") == "10.0.0.2"
    later(monkeypatch, 3601)
    assert add(host, conf, "c3", "another") == "10.0.0.1"


def test_the_delete_of_the_earlier_container_comes_late(host: Host) -> None:
    conf = {**NET, "sticky": True}
    assert add(host, conf, "old", "web-0") == "10.0.0.1"
    assert add(host, conf, "new", "web-0") == "10.0.0.1"
    delete(host, conf, "old")
    assert add(host, conf, "c2", "other") == "10.0.0.2"


def test_a_full_range_of_addresses_that_wait(host: Host) -> None:
    conf = {**NET, "sticky": True}
    for number in range(1, 7):
        add(host, conf, f"c{number}", f"web-{number}")
        delete(host, conf, f"c{number}")
    assert "Could not allocate IP" in host.call("ADD", conf, "d1", args=pod("other")).error(100)
    assert add(host, conf, "d2", "web-4") == "10.0.0.4"


def test_reservations_of_the_configuration(host: Host) -> None:
    conf = {**NET, "reservations": {"shop/db-0": ["10.0.0.2"], "shop/db-1": ["10.0.0.1"]}}
    assert add(host, conf, "c1", "other") == "10.0.0.3"
    assert add(host, conf, "c2", "db-0") == "10.0.0.2"
    assert add(host, conf, "c3", "db-1") == "10.0.0.1"
    # nobody is given another than his own
    assert "not available" in host.call("ADD", conf, "c4", args=pod("db-0")).error(100)
    assert add(host, conf, "c5", "another") == "10.0.0.4"


def test_a_reservation_that_is_no_address(host: Host) -> None:
    conf = {**NET, "reservations": {"shop/db-0": ["10.0.0"]}}
    assert 'ipam.reservations.shop/db-0[0]": invalid IP address: 10.0.0' in host.call(
        "ADD", conf
    ).error(7)


@pytest.mark.parametrize(("strict", "given"), [(False, "10.0.0.1"), (True, "")])
def test_a_preferred_address(host: Host, strict: bool, given: str) -> None:
    conf = {**NET, "strict": strict}
    hint = prefers("10.0.0.5")
    assert add(host, conf, "c1", "a", **hint) == "10.0.0.5"
    reply = host.call("ADD", conf, "c2", args=pod("b"), **hint)
    if given:
        assert reply.ok()["ips"][0]["address"] == f"{given}/29"
    else:
        assert "10.0.0.5 is not available" in reply.error(100)


@pytest.mark.parametrize("hint", ["10.9.9.9", "fd00::1", "nonsense", "10.0.0.5/29"])
def test_a_hint_that_fits_no_range_is_passed_over(host: Host, hint: str) -> None:
    expected = "10.0.0.5" if "/" in hint else "10.0.0.1"
    assert add(host, NET, "c1", **prefers(hint)) == expected


# reservations that the configuration gets while pods live


def with_reservations(**reservations: str) -> dict[str, Any]:
    listed = {f"shop/{pod.replace('_', '-')}": [text] for pod, text in reservations.items()}
    return {**NET, "reservations": listed}


def repeated(host: Host, conf: dict[str, Any], name: str) -> str:
    """What an ADD that is repeated gives, after a CHECK of what there is."""
    before = host.call("ADD", NET, "c1", args=pod(name)).ok()
    host.call("CHECK", conf, "c1", args=pod(name), prevResult=before).ok()
    return add(host, conf, "c1", name)


def test_an_address_of_a_pod_that_is_now_anothers(host: Host) -> None:
    assert add(host, NET, "c1", "web-0") == "10.0.0.1"
    conf = with_reservations(db_0="10.0.0.1")
    assert repeated(host, conf, "web-0") == "10.0.0.1"
    host.call("ADD", conf, "c2", args=pod("db-0")).error(100)
    delete(host, conf, "c1")
    assert add(host, conf, "c3", "web-0") == "10.0.0.2"
    assert add(host, conf, "c2", "db-0") == "10.0.0.1"


def test_a_pod_that_is_to_have_another_address(host: Host) -> None:
    """From its next container on."""
    assert add(host, NET, "c1", "web-0") == "10.0.0.1"
    conf = with_reservations(web_0="10.0.0.5")
    assert repeated(host, conf, "web-0") == "10.0.0.1"
    delete(host, conf, "c1")
    assert add(host, conf, "c2", "web-0") == "10.0.0.5"


def test_what_is_asked_for_by_name_is_not_what_was_reserved(host: Host) -> None:
    conf = with_reservations(db_0="10.0.0.6")
    for address in ("10.0.0.2", "10.0.0.3"):
        assert host.add(conf, "c1", args=f"IP={address}") == [f"{address}/29"]
