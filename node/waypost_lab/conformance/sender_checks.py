"""What a sender must not do, judged by all that the node has said in all other checks. The last ones."""

from __future__ import annotations

from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Phase, Skipped, fail

AREA = Area()

_RULES = (
    ("WIRE-1", "no frame of the node's was longer than 1 MiB, nor than 16 KiB before its Proof"),
    ("WIRE-12", "every message of the node's was one of version 1, with fields as its table has them"),
    ("WIRE-14", "every provider's name that it sent was canonical"),
    ("WIRE-15", "so was every user part"),
    ("CUST-3", "its batch numbers rose from 1 on every link"),
    ("CUST-4", "none of its batches was too large"),
    ("CUST-5", "it never offered more than it was granted"),
)


def _judged(clause: str, expectation: str) -> None:
    async def run(bench: Bench) -> None:
        witness = bench.site.witness
        if told := witness.violations.get(clause):
            fail("; ".join(told))
        if not witness.seen[clause]:
            raise Skipped("the node has said nothing that this could be seen from")

    AREA.check(clause, expectation, stage=Phase.LAST)(run)


for _clause, _expectation in _RULES:
    _judged(_clause, _expectation)
