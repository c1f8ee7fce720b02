"""What is said on a link, and nothing of how bytes travel.

Bytes become typed messages in `codec`, messages become events in `session`, duties change hands in `custody` and wait
in `outbox`. No I/O, no clock, no randomness, no async: every method that needs the time is told it. Whatever bytes
come in, only `PeerFault` may come out.
"""
