"""The kernel: plain values in, OSError out. No word of CNI in here."""
