"""`plait install` and `plait uninstall`: what a node of a cluster needs, put there and kept so."""
