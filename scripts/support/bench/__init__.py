"""`scripts/bench`: what a node can do on this machine, alone or against another commit.

The nodes under test run from the tree of their commit, with what that commit depends on (`sides`, `keeper`). The
drivers are always those of this tree: they speak the wire, which both commits know, so that a ratio is about the nodes.
"""
