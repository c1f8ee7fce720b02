"""The life of an envelope through one node and two."""

from __future__ import annotations

import trio
import trio.testing
from tests.relay.world import world

from waypost.errors import Code
from waypost.protocol.frames.messages import NoticeKind


async def test_between_two_nodes(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice, bob = await w.device("birdy.local", "alice"), await w.device("finch.local", "bob")
        id_ = alice.send("bob@finch.local", b"hi")
        await bob.until(lambda: bob.bodies() == [b"hi"])
        await alice.until(lambda: bool(alice.outcomes))
        [outcome] = alice.outcomes
        assert (outcome.recipient, outcome.code, outcome.ids) == ("bob@finch.local", 0, id_)
        assert alice.accepted == [id_]
        assert [notice.kind for notice in alice.notices] == [NoticeKind.HELD]


async def test_within_one_node(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node("birdy.local")
        alice, carol = await w.device("birdy.local", "alice"), await w.device("birdy.local", "carol")
        alice.send("carol@birdy.local")
        await carol.until(lambda: len(carol.inbox) == 1)
        await alice.until(lambda: len(alice.outcomes) == 1)
        assert alice.outcomes[0].code == 0


async def test_unknown_user_bounces_with_its_reason(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice = await w.device("birdy.local", "alice")
        id_ = alice.send("nobody@finch.local")
        await alice.until(lambda: bool(alice.outcomes))
        [outcome] = alice.outcomes
        assert (outcome.code, outcome.ids) == (Code.NOT_FOUND.number, id_)


async def test_peer_away_then_back(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice, bob = await w.device("birdy.local", "alice"), await w.device("finch.local", "bob")
        alice.send("bob@finch.local", b"one")
        await bob.until(lambda: len(bob.inbox) == 1)
        store = w.kill("finch.local")
        await w.unlinked("birdy.local", "finch.local")
        ids = alice.send_many("bob@finch.local", [b"two", b"three"])
        await alice.until(lambda: len(alice.accepted) == 3)
        await trio.sleep(60)
        assert any(notice.kind == NoticeKind.WAITING and notice.ids == b"".join(ids) for notice in alice.notices)
        await w.node("finch.local", store=store)
        back = trio.current_time()
        await bob.connect()
        await bob.until(lambda: bob.bodies() == [b"one", b"two", b"three"])
        assert trio.current_time() - back < 3
