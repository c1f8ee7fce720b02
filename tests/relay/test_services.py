"""The tables of services hold each request that the protocol knows, once, and say who may ask it."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
import trio
import trio.testing
from tests.relay.stranger import Stranger
from tests.relay.world import world

from waypost.errors import Code
from waypost.protocol.directory.asks import Ask, AskReach, Claim, Join, Publish, Records, Track
from waypost.relay.services.service import Asker

BIRDY, FINCH = "birdy.local", "finch.local"

#: Who may ask what.
MAY_ASK = {
    Join: {Asker.STRANGER, Asker.DEVICE},
    Publish: {Asker.DEVICE},
    Claim: {Asker.DEVICE, Asker.NODE},
    Track: {Asker.DEVICE},
    Records: {Asker.NODE},
    AskReach: {Asker.DEVICE},
}
REQUESTS: list[Ask] = [
    Join(bytes(16), b""),
    Publish(bytes(16), 1, ()),
    Claim(bytes(16), "nobody@finch.local", ("x-test",)),
    Track(bytes(16)),
    Records(()),
    AskReach("show"),
]


async def test_the_tables_hold_every_request_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        services = (await w.node(FINCH)).relay.services
        assert set(services.table) == set(get_args(Ask)) == set(MAY_ASK)
        assert Counter(type(ask) for ask in REQUESTS) == Counter(get_args(Ask))
        assert {kind: set(service.askers) for kind, service in services.table.items()} == MAY_ASK


@pytest.mark.parametrize("ask", REQUESTS, ids=lambda ask: type(ask).__name__)
async def test_who_may_not_ask_is_refused(autojump_clock: trio.testing.MockClock, ask: Ask) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        for asker, party in ((Asker.DEVICE, bob), (Asker.NODE, birdy)):
            code = (await party.ask(ask)).code
            assert (code == Code.FORBIDDEN.number) is (asker not in MAY_ASK[type(ask)])
