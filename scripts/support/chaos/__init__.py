"""Nodes that are killed while they work: what they have accepted must be shown once, and reported.

`devices` drives a sender and a recipient that connect again whenever they can, `tally` counts, `runs` kills and waits.
"""
