"""Address management plugins: they hand out addresses and never touch an interface."""
