"""A virtual machine with SR-IOV cards: a whole kernel, and devices that no ordinary machine has."""
