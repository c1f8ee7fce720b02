"""Decisions: values in, values out.

Where an envelope goes (`router`), whose mail an account takes (`consent`), whether a peer is who it says and welcome
(`policy`), when to try again (`retry`), how much is too much (`quota`). No I/O, no clock, no randomness, no async.
"""
