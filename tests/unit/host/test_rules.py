"""Names of rules and chains: those of the originals, whatever the identifiers are."""

from __future__ import annotations

import pytest

from cni.host import masquerade, nft, spoofcheck
from cni.host.masquerade import Owner


@pytest.mark.parametrize(
    ("network", "container", "chain"),
    [
        ("test", "1234", "CNI-2bbe0c48b91a7d1b8a6753a8"),
        ("testalongnamethatdoesnotmakesense", "1234", "CNI-374f33fe84ab0ed84dcdebe3"),
        ("net1", "c1", "CNI-c2d892b58e87e28a12fe6479"),
    ],
)
def test_iptables_chain(network: str, container: str, chain: str) -> None:
    assert masquerade._chain(Owner(network, container, "eth0")) == chain


def test_nftables_comment_starts_with_both_hashes() -> None:
    assert masquerade._hashes(Owner("unit-test", "one", "eth0")) == (
        "6fd94d501e58f0aa-287fc69eff0574a2"
    )


@pytest.mark.parametrize(
    ("container", "ifname", "plain"),
    [
        ("c1", "eth0", "c1-eth0"),
        ("a" * 64, "net1", "a" * 64 + "-net1"),
        ("c1", 'a"b', None),
        ("c1", "a;b", None),
        ("c1", "naïve", None),
        ("a" * 120, "eth0", None),
    ],
)
def test_lock_reference(container: str, ifname: str, plain: str | None) -> None:
    """Plain as in the original; hashed where nft could not read it."""
    reference = spoofcheck.reference(container, ifname)
    if plain is not None:
        assert reference == plain
    else:
        assert len(reference) == 40
        assert reference.isalnum()


def test_lock_references_differ() -> None:
    names = ['a"b', "a;b", "a b", "naïve"]
    assert len({spoofcheck.reference("c1", name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a", '"a"'),
        ('a"b', '"ab"'),
        ("x" * 200, '"' + "x" * 128 + '"'),
        ("é" * 100, '"' + "é" * 64 + '"'),
    ],
)
def test_comment(text: str, quoted: str) -> None:
    """nft takes 128 bytes, not characters."""
    assert nft.quoted(text) == quoted
