"""Judges a node by the protocol documents, clause by clause, with good and hostile inputs over real links.

A check names the clauses of docs/protocol that it tests. `peer` speaks the wire and can lie at each step; `bench` is
what a check is given to work with; `meeting` is where it meets the node: over TLS, or in tests over memory links.
`run` runs them all. What no check can see is listed in `unobservable`, with the reason and the test that holds it.
"""
