"""Plait, CNI plugins for bare metal: the interface plugins and the shared core."""

__version__ = "0.1.0"
