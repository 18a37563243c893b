"""`plait vf`: the virtual functions of this node, whose they are, how many and for whom."""
