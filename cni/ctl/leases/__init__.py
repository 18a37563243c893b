"""`plait leases`: which addresses are leased or held, and how full the ranges are."""
