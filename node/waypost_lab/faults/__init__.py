"""What can go wrong, in one vocabulary, for networks in virtual time (`fabric`) and for boxes of processes (`box`).

A fault is a frozen value of `words`, which a backend does, and which `undo` takes back; all of it happens around the
nodes, none of it inside. `noted` keeps which faults are open, and tells a timeline of them.
"""
