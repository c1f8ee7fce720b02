"""All checks, in the order of the documents."""

from __future__ import annotations

from waypost_lab.conformance import (
    accounts,
    custody,
    envelopes,
    handshake,
    keys,
    lasting,
    outcomes,
    records,
    refusals,
    restart,
    sender_checks,
    tls,
    wire,
)
from waypost_lab.conformance.check import Check

_AREAS = (
    wire.AREA,
    envelopes.AREA,
    tls.AREA,
    handshake.AREA,
    lasting.AREA,
    records.AREA,
    custody.AREA,
    refusals.AREA,
    outcomes.AREA,
    accounts.AREA,
    keys.AREA,
    restart.AREA,
    sender_checks.AREA,
)

CHECKS: tuple[Check, ...] = tuple(check for area in _AREAS for check in area.checks)
