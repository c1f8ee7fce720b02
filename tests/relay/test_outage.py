"""Links that break, nodes that restart, dead peers: nothing is lost, nothing shown twice, nobody else waits."""

from __future__ import annotations

import random
from itertools import count

import pytest
import trio
import trio.testing
from tests.relay.devices import another_device
from tests.relay.stranger import Stranger
from tests.relay.world import Device, World, world

from waypost.crypto.keys import envelope_id
from waypost.errors import Code
from waypost.protocol.custody.transfer import Offered, Refusal
from waypost.protocol.frames.messages import NoticeKind
from waypost.storage.memory.engine import MemoryStore

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"


async def pair(w: World) -> tuple[Device, Device]:
    await w.node(BIRDY)
    await w.node(FINCH)
    w.introduce(BIRDY, FINCH)
    return await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")


async def test_three_nodes_and_both_directions(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        for name in (BIRDY, FINCH, HERON):
            await w.node(name)
        w.introduce(BIRDY, FINCH)
        w.introduce(FINCH, HERON)
        w.introduce(HERON, BIRDY)
        people = [await w.device(node, user) for node, user in ((BIRDY, "a"), (FINCH, "b"), (HERON, "c"))]
        for sender in people:
            for recipient in people:
                sender.send(recipient.address, sender.address.encode())
        for each in people:
            await each.until(lambda each=each: len(each.inbox) == 3)  # type: ignore[misc]
            await each.until(lambda each=each: len(each.outcomes) == 3)  # type: ignore[misc]
            assert sorted(each.bodies()) == sorted(sender.address.encode() for sender in people)


async def test_a_peer_that_returns_gets_its_mail_within_three_seconds(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await w.linked(BIRDY, FINCH)
        store = w.kill(FINCH)
        await w.unlinked(BIRDY, FINCH)
        ids = alice.send_many("bob@finch.local", [b"%d" % number for number in range(500)])
        await trio.sleep(3_600)
        await w.node(FINCH, store=store)
        back = trio.current_time()
        await bob.connect()
        await bob.until(lambda: bool(bob.inbox))
        assert trio.current_time() - back < 3
        await bob.until(lambda: len(bob.ids) == 500)
        assert bob.ids == ids


@pytest.mark.parametrize("seed", range(6))
async def test_restarts_in_the_middle_lose_and_double_nothing(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    chance = random.Random(seed)
    async with world() as w:
        alice, bob = await pair(w)
        kept: dict[bytes, bytes] = {}
        numbers = count()

        async def send_until_taken() -> None:
            # As an app does: what was not acknowledged is sent again.
            left = dict(kept)
            if alice.closed is not None or BIRDY not in w.nodes:
                return
            missing = [data for id_, data in left.items() if id_ not in alice.accepted]
            for start in range(0, len(missing), 100):
                alice.offer(missing[start : start + 100])

        for _round in range(8):
            for _ in range(chance.randrange(1, 60)):
                data = alice.envelope("bob@finch.local", b"%d" % next(numbers))
                kept[envelope_id(data)] = data
            await send_until_taken()
            for _ in range(chance.randrange(0, 40)):
                await trio.lowlevel.checkpoint()
            victim = chance.choice([BIRDY, FINCH])
            store = w.kill(victim)
            await trio.sleep(chance.choice([0, 0.5, 5]))
            await w.node(victim, store=store)
            await (alice if victim == BIRDY else bob).connect()
        w.introduce(BIRDY, FINCH)
        await send_until_taken()
        await alice.until(lambda: set(kept) <= set(alice.accepted))
        await bob.until(lambda: len(bob.ids) == len(kept), seconds=600)
        assert set(bob.ids) == set(kept)
        assert len(set(bob.ids)) == len(bob.ids)


async def test_lost_receipts_cost_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.answers_receipts = False
        w.introduce(BIRDY, FINCH)
        ids = alice.send_many("bob@finch.local", [b"one", b"two"])
        await finch.until(lambda: bool(finch.offered))
        w.net.cut(FINCH)
        await w.unlinked(BIRDY, FINCH)
        finch.answers_receipts = True
        finch.offered.clear()
        await finch.until(lambda: sum(len(offered.ids) for offered in finch.offered) == 2)
        assert [id_ for offered in finch.offered for id_ in offered.ids] == ids
        await alice.until(lambda: any(notice.kind == NoticeKind.HELD for notice in alice.notices))


@pytest.mark.parametrize("first", [BIRDY, FINCH])
async def test_simultaneous_dialling_leaves_one_link(autojump_clock: trio.testing.MockClock, first: str) -> None:
    async with world() as w:
        second = FINCH if first == BIRDY else BIRDY
        await w.node(BIRDY)
        await w.node(FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        w.introduce(first, second)
        w.introduce(second, first)
        for number in range(20):
            alice.send("bob@finch.local", b"%d" % number)
            bob.send("alice@birdy.local", b"%d" % number)
            await trio.lowlevel.checkpoint()
        await bob.until(lambda: len(bob.inbox) == 20)
        await alice.until(lambda: len(alice.inbox) == 20)
        await trio.sleep(30)
        ends = [w.nodes[node].relay.peers.get(peer) for node, peer in ((BIRDY, FINCH), (FINCH, BIRDY))]
        links = [end.link for end in ends if end is not None]
        assert len(links) == 2
        assert all(link is not None for link in links)
        assert {link.peer.dialed for link in links if link} == {True, False}
        ups = [entry for entry in w.nodes[BIRDY].logs if entry["event"] == "link up"]
        assert len(ups) <= 2


async def test_a_half_open_link_is_replaced(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await w.linked(BIRDY, FINCH)
        finch.answers_receipts = False
        alice.send("bob@finch.local")
        await finch.until(lambda: bool(finch.offered))
        await trio.sleep(10)
        again = Stranger(w, FINCH)
        await again.dial(BIRDY)
        await again.until(lambda: bool(again.offered))
        assert await finch.goodbye() == Code.DUPLICATE_LINK.number


async def test_a_silent_link_is_noticed_and_mail_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        finch = Stranger(w, FINCH)
        stream = await w.net.dial(BIRDY, 7711)
        await finch._greet(stream)
        await w.linked(BIRDY, FINCH)
        await trio.sleep(61)  # nobody pumps the stranger's side
        await w.unlinked(BIRDY, FINCH)
        assert any(entry["event"] == "link down" for entry in w.nodes[BIRDY].logs)


async def test_an_idle_link_is_kept_alive(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await pair(w)
        await w.linked(BIRDY, FINCH)
        before = w.nodes[BIRDY].relay.peers.get(FINCH)
        assert before is not None
        link = before.link
        await trio.sleep(3_600)
        assert before.link is link is not None


async def test_a_peer_that_hangs_up_at_once_is_not_dialled_without_end(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.on_event = lambda stranger, _event: stranger.pump.close(Code.CLOSING)
        w.introduce(BIRDY, FINCH)
        await trio.sleep(600)
        assert 3 <= finch.links <= 9


async def test_a_peer_that_hangs_up_after_the_proof_is_not_dialled_without_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        await w.node(BIRDY)
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.greeted = lambda: False
        w.introduce(BIRDY, FINCH)
        await trio.sleep(600)
        assert 3 <= finch.links <= 9


async def test_dead_peers_delay_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        dial = w.net.dial

        async def black_hole(host: str, port: int) -> object:
            if host.startswith("dead"):
                await trio.sleep_forever()
            return await dial(host, port)

        w.net.dial = black_hole  # type: ignore[method-assign, assignment]
        w.introduce(BIRDY, FINCH)
        await w.linked(BIRDY, FINCH)
        for number in range(100):
            w.introduce(BIRDY, f"dead{number}.local")
        await trio.sleep(0.1)
        for number in range(100):
            alice.send(f"x@dead{number}.local")
        await alice.until(lambda: len(alice.accepted) == 100)
        w.net.cut(FINCH)
        await w.unlinked(BIRDY, FINCH)
        await bob.connect()
        sent = trio.current_time()
        alice.send("bob@finch.local")
        await bob.until(lambda: len(bob.inbox) == 1)
        assert trio.current_time() - sent < 3


async def test_a_peer_refusing_for_now_gets_it_later(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.refusal = lambda index: Refusal(index, Code.STORE_FULL.number, 5)
        w.introduce(BIRDY, FINCH)
        id_ = alice.send("bob@finch.local")
        await finch.until(lambda: len(finch.offered) == 2)
        finch.refusal = lambda _index: None
        await finch.until(lambda: len(finch.offered) == 3)
        assert all(offered.ids == (id_,) for offered in finch.offered)
        await alice.until(lambda: any(notice.kind == NoticeKind.HELD for notice in alice.notices))


async def test_one_refused_item_holds_up_no_other_and_the_sender_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.refusal = lambda index: Refusal(index, Code.MAILBOX_FULL.number) if index == 0 else None
        w.introduce(BIRDY, FINCH)
        first, second = alice.send_many("bob@finch.local", [b"one", b"two"])
        await alice.until(lambda: any(notice.kind == NoticeKind.HELD for notice in alice.notices))
        await alice.until(
            lambda: any((n.kind, n.code) == (NoticeKind.WAITING, Code.MAILBOX_FULL.number) for n in alice.notices)
        )
        told = {notice.kind: notice for notice in alice.notices}
        assert told[NoticeKind.HELD].ids == second
        assert told[NoticeKind.WAITING].ids == first
        finch.refusal = lambda _index: None
        finch.offered.clear()
        await finch.until(lambda: bool(finch.offered), seconds=120)
        assert finch.offered[0].ids == (first,)


async def test_tries_of_a_refused_item_grow_apart(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.refusal = lambda index: Refusal(index, Code.MAILBOX_FULL.number, 2**32 - 1 if index else 0)
        w.introduce(BIRDY, FINCH)
        alice.send("bob@finch.local")
        await trio.sleep(86_400)
        assert 10 <= len(finch.offered) <= 30


async def test_a_peer_cannot_ask_for_a_pause_without_end(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        finch.listen()
        finch.refusal = lambda index: Refusal(index, Code.RATE_LIMITED.number, 2**32 - 1)
        w.introduce(BIRDY, FINCH)
        alice.send("bob@finch.local")
        await finch.until(lambda: len(finch.offered) == 2, seconds=7_200)


async def test_second_device_gets_the_backlog_and_both_get_the_new(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        second = await another_device(w, bob)
        second.disconnect()
        await second.until(lambda: second.closed is not None)
        alice.send_many("bob@finch.local", [b"one", b"two"])
        await bob.until(lambda: bob.bodies() == [b"one", b"two"])
        assert second.inbox == []
        await second.connect()
        await second.until(lambda: second.bodies() == [b"one", b"two"])
        alice.send("bob@finch.local", b"three")
        await second.until(lambda: len(second.inbox) == 3)
        await bob.until(lambda: len(bob.inbox) == 3)


async def test_a_device_that_never_acknowledges_is_parted_with_and_harms_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(FINCH, "carol")
        carol.session.receipt = lambda *_: None  # type: ignore[method-assign]
        for _ in range(20):
            alice.send_many("carol@finch.local", [b"x" * 60_000] * 10)
            alice.send_many("bob@finch.local", [b"y"] * 10)
        await bob.until(lambda: len(bob.inbox) == 200)
        await carol.until(lambda: carol.closed is not None, seconds=300)
        assert carol.closed is not None
        assert carol.closed.code == Code.SILENT.number
        await carol.connect()
        await carol.until(lambda: len(carol.inbox) == 200)


async def test_node_restart_with_nobody_there_keeps_everything(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        store = MemoryStore()
        await w.node(BIRDY, store=store)
        alice = await w.device(BIRDY, "alice")
        w.introduce(BIRDY, FINCH)
        await trio.sleep(1)
        alice.send("bob@finch.local", b"kept")
        await alice.until(lambda: len(alice.accepted) == 1)
        w.kill(BIRDY)
        await trio.sleep(1)
        await w.node(BIRDY, store=store)
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await finch.until(lambda: bool(finch.offered))
        assert isinstance(finch.offered[0], Offered)
