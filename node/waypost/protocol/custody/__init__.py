"""Custody: envelopes, their transfer from hop to hop, and what waits for the next one."""
