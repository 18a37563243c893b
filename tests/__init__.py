"""Tests, by what they need: nothing, root, real clients, a virtual machine."""
