"""A network in a box: real nodes as processes on loopback, with a proxy of ours in each path between two of them.

`plan` says what network (`lab.toml`), `box` runs it, `supervisor` is the process that does and `control` what is said
to it. `waypost_lab.ways` is the model of a way, pure; `proxy` applies it to real bytes, and `owners` tells it whose
they are. `traffic` writes messages between users and accounts for each; `storm` breaks things at random meanwhile, and
`disks` are those that it fills.
"""
