"""Our own relay passes every check, the slow ones included: in virtual time they cost nothing."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.lab.conformance.ground import judged, named

from waypost.clock import MINUTE_MS
from waypost.errors import LocalError
from waypost.limits import MIB
from waypost.links import pump
from waypost.protocol.directory.trust import Mode
from waypost.relay.federation import own_record
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Check, Need, Ruling, Verdict

#: More than an hour, which is the longest hint; less than what a node's record lasts.
HOURS_S = 4_000.0


def broken(results: list[Ruling]) -> list[str]:
    return [
        f"{' '.join(result.check.clauses)}: {result.check.expectation}: {result.reason}"
        for result in results
        if result.verdict is Verdict.FAILED
    ]


async def test_it_passes_all_that_needs_no_tls(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever does not read gets less far here, so that the flood is a small one.
    monkeypatch.setattr(pump, "UNREAD_ABOVE_BYTES", MIB)
    results = await judged(patience_s=HOURS_S)
    assert broken(results) == []
    assert len([result for result in results if result.verdict is Verdict.PASSED]) > 200
    skipped = [result.check for result in results if result.verdict is Verdict.SKIPPED]
    assert all(Need.TLS in check.needs or check.takes_s > HOURS_S for check in skipped)


async def test_one_that_lets_nobody_in_cannot_be_judged(autojump_clock: trio.testing.MockClock) -> None:
    refusal = pytest.RaisesExc(LocalError, match="must let strangers in ")
    with pytest.RaisesGroup(refusal, flatten_subgroups=True):
        await judged(named("pings"), mode=Mode.KNOWN)


async def test_it_renews_its_record(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    # A month of virtual time costs minutes of real time, so that this node's records last an hour.
    monkeypatch.setattr(own_record, "RECORD_LIFETIME_MS", 60 * MINUTE_MS)
    results = await judged(named("renews"))
    assert [result.verdict for result in results] == [Verdict.PASSED], broken(results)


async def test_a_check_that_comes_to_grief_does_not_stop_the_others(autojump_clock: trio.testing.MockClock) -> None:
    async def grieves(_bench: Bench) -> None:
        raise KeyError("nobody foresaw this")

    async def stays(_bench: Bench) -> None:
        await trio.sleep_forever()

    unlucky = [Check(("WIRE-1",), "nothing", each) for each in (grieves, stays)]
    results = await judged([*unlucky, *named("pings")])
    assert [result.verdict for result in results] == [Verdict.FAILED, Verdict.FAILED, Verdict.PASSED]
    assert "nobody foresaw this" in results[0].reason
    assert results[1].reason.startswith("not done after 45 s")
