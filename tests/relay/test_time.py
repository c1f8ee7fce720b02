"""What time brings: notices of delay, and an orderly or a sudden end."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from tests.relay.stranger import Stranger, envelope_from
from tests.relay.world import Device, VirtualClock, World, world

from waypost.errors import Code
from waypost.ids import Address
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost.storage.memory.engine import MemoryStore

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"


def waiting(device: Device) -> list[Notice]:
    return [notice for notice in device.notices if notice.kind == NoticeKind.WAITING]


async def cut_off(w: World) -> Device:
    """Alice, whose node has had a link to finch.local and lost it for good."""
    await w.node(BIRDY)
    await w.node(FINCH)
    w.introduce(BIRDY, FINCH)
    alice = await w.device(BIRDY, "alice")
    await w.linked(BIRDY, FINCH)
    w.kill(FINCH)
    await w.unlinked(BIRDY, FINCH)
    return alice


# ── notices of delay ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_sender_is_told_at_once_after_an_hour_and_after_a_day(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice = await cut_off(w)
        sent = trio.current_time()
        id_ = alice.send("bob@finch.local")
        seen: list[float] = []
        while len(seen) < 3:
            await alice.until(lambda: len(waiting(alice)) > len(seen), seconds=100_000)
            seen.append(trio.current_time() - sent)
        assert seen[0] < 1
        assert 3_600 <= seen[1] <= 3_700
        assert 86_400 <= seen[2] <= 86_500
        assert {(notice.ids, notice.code) for notice in waiting(alice)} == {(id_, Code.UNREACHABLE.number)}
        assert waiting(alice)[-1].at_ms >= VirtualClock().wall_ms()
        await trio.sleep(7_200)
        assert len(waiting(alice)) == 3


async def test_each_of_many_is_told_of_once_and_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice = await cut_off(w)
        carol = await w.device(BIRDY, "carol")
        early = alice.send_many("bob@finch.local", [b""] * 30)
        await trio.sleep(1_800)
        late = alice.send_many("bob@finch.local", [b""] * 30)
        await trio.sleep(600)
        alice.notices.clear()
        await trio.sleep(1_300)
        assert b"".join(notice.ids for notice in waiting(alice)) == b"".join(early)
        await trio.sleep(1_800)
        assert b"".join(notice.ids for notice in waiting(alice)) == b"".join(early + late)
        assert waiting(carol) == []


async def test_a_link_that_breaks_with_mail_in_flight_is_told_of(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await w.linked(BIRDY, FINCH)
        finch.answers_receipts = False
        id_ = alice.send("bob@finch.local")
        await finch.until(lambda: bool(finch.offered))
        assert waiting(alice) == []
        finch.pump.close(Code.CLOSING)
        await alice.until(lambda: bool(waiting(alice)))
        assert (waiting(alice)[0].ids, waiting(alice)[0].code) == (id_, Code.CLOSING.number)


async def test_no_notice_of_what_is_delivered(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH)
        w.introduce(BIRDY, FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        alice.send("bob@finch.local")
        await bob.until(lambda: len(bob.inbox) == 1)
        alice.notices.clear()
        await trio.sleep(4_000)
        assert waiting(alice) == []


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_node_that_stops_says_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH)
        w.introduce(BIRDY, FINCH)
        alice = await w.device(BIRDY, "alice")
        await w.linked(FINCH, BIRDY)
        birdy = w.nodes[BIRDY]
        started = trio.current_time()
        await birdy.relay.stop()
        await alice.until(lambda: alice.closed is not None)
        assert alice.closed is not None
        assert alice.closed.code == Code.CLOSING.number
        await w.unlinked(FINCH, BIRDY)
        known = w.peer(FINCH, BIRDY)
        assert known is not None
        assert known.trouble is not None
        assert known.trouble.code is Code.CLOSING
        while not birdy.scope.cancelled_caught and birdy.relay.links():  # noqa: ASYNC110 - the end has no event here
            await trio.sleep(0.01)
        assert trio.current_time() - started < 4


async def test_a_node_that_stops_does_not_wait_for_those_who_do_not_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        await w.node(BIRDY)
        finch = Stranger(w, FINCH)
        stream = await w.net.dial(BIRDY, 7711)
        await finch._greet(stream)  # and never reads again
        await w.linked(BIRDY, FINCH)
        started = trio.current_time()
        await w.nodes[BIRDY].relay.stop()
        with trio.move_on_after(10):
            while w.nodes[BIRDY].relay.links():  # noqa: ASYNC110 - the end has no event here
                await trio.sleep(0.01)
        assert trio.current_time() - started <= 4


async def test_a_closing_node_lets_nobody_in(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        relay = w.nodes[BIRDY].relay
        relay._door.close()
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        assert await finch.goodbye() == Code.CLOSING.number


@pytest.mark.parametrize("seed", range(12))
async def test_cancelled_at_any_moment_nothing_acknowledged_is_lost(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    chance = random.Random(seed)
    async with world() as w:
        store = MemoryStore()
        await w.node(FINCH, store=store)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        acknowledged: set[bytes] = set()
        for number in range(chance.randrange(1, 20)):
            size = chance.randrange(1, 20)
            bodies = [b"%d.%d" % (number, index) for index in range(size)]
            birdy.offer(*(envelope_from("alice@birdy.local", "bob@finch.local", body) for body in bodies))
            for _ in range(chance.randrange(4)):
                await trio.lowlevel.checkpoint()
        for _ in range(chance.randrange(30)):
            await trio.lowlevel.checkpoint()
        w.kill(FINCH)
        await trio.sleep(1)
        for settled in birdy.settled:
            ids: list[bytes] = settled.token  # type: ignore[assignment]
            assert settled.refusals == ()
            acknowledged.update(ids)
        await w.node(FINCH, store=store)
        await bob.connect()
        await trio.sleep(10)
        assert acknowledged <= set(bob.ids)
        assert len(bob.ids) == len(set(bob.ids))
        [mailbox] = w.nodes[FINCH].relay.accounts.device_mailboxes(Address.of("bob@finch.local"))
        assert w.nodes[FINCH].relay.usages.of(mailbox).items == 0
