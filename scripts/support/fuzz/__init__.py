"""Hostile input for every decoder: whatever bytes come in, only the documented errors may come out.

`seeds` makes valid inputs, `mutate` spoils them, `targets` names every decoder with what it may raise, `run` feeds one
to the other and watches time and memory, `search` lets hypothesis try.
"""
