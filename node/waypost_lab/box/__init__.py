"""A network in a box: real nodes as processes on loopback, with a proxy of ours in each path between two of them.

`plan` says what network (`lab.toml`), `box` runs it, `supervisor` is the process that does and `control` what is said
to it. `paths` is the fault model, pure; `proxy` applies it to real bytes, and `owners` tells it whose they are.
`traffic` writes messages between users and accounts for each.
"""
