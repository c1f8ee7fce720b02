"""Whole networks on one machine: to try things out, to test apps against, and to break the relay before others do.

`fabric` is a network inside one process whose faults are options; on it stand `testnet` (for app developers' tests),
`scenario` (dialogues as text) and `simulate` (hours of a hundred nodes from one seed). `box` runs real nodes as
processes with a `proxy` in each path. `conformance` judges any node over a real link. `timeline` is what a run writes
down, `report` makes a page of it.
"""
