"""Decisions: values in, values out.

Where an envelope goes (`router`), whether a peer is who it says and welcome (`policy`), where it stands (`peering`),
when to try again (`retry`), how much is too much (`quota`). No I/O, no clock, no randomness, no async.
"""
