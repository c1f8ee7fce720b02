"""Hostile input for every decoder: whatever bytes come in, only the documented errors may come out.

`seeds` and `mls_world` make valid inputs, `mutate` spoils them. `target` says what a decoder is and what it may raise;
`targets`, `mls_outside` and `mls_inside` name every one. `run` feeds one to the other and watches time and memory,
`search` lets hypothesis try, `jobs` does it in several processes.
"""
