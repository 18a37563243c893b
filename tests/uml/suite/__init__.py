"""Tests for a kernel with VLAN filtering, 8021q, dummy, ipvlan, vrf and legacy iptables."""
