"""Nodes that are killed while they work: what they have accepted must be shown once, and reported.

`runs` kills and waits; the apps and the counting are `waypost_lab`’s.
"""
