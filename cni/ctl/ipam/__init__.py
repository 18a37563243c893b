"""`plait ipam`: addresses by the operator's hand: reserve, release, reconcile, import, check."""
