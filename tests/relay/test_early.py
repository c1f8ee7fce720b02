"""A lone message is offered onwards while it is being committed. Custody must not notice."""

from __future__ import annotations

from typing import Any, TypeVar

import trio
import trio.testing
from tests.relay.world import Device, World, world

from waypost.crypto.keys import envelope_id
from waypost.errors import Code, Refused
from waypost.limits import EARLY_ENVELOPES_MAX
from waypost.protocol.custody.transfer import Offered
from waypost.storage.memory.engine import MemoryStore
from waypost.storage.operations.base import Operation
from waypost.storage.operations.mail import Accept, TraceOf
from waypost.storage.operations.mailboxes import AllMailboxes
from waypost.storage.pending import Pending, to_stderr

T = TypeVar("T")

BIRDY, FINCH = "birdy.local", "finch.local"


class SlowStore(MemoryStore):
    """Commits what it accepts only when `go` is called; until then nothing of it is in the store."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = self.goes = False
        self.held: list[tuple[Operation[Any], Pending[Any]]] = []
        self.full = False

    def hold(self) -> None:
        self.holds, self.goes = True, False

    def go(self) -> None:
        """What is held is committed, or refused if it is `full`; so is what comes from now on."""
        self.goes = True
        held, self.held = self.held, []
        for operation, pending in held:
            if self.full:
                pending.resolve(None, Refused(Code.STORE_FULL), to_stderr)
            else:
                super().submit(operation).then(
                    lambda value, pending=pending: pending.resolve(value, None, to_stderr),  # type: ignore[misc]
                    lambda error, pending=pending: pending.resolve(None, error, to_stderr),  # type: ignore[misc]
                )

    def forget(self) -> None:
        """As a crash does: what is held has never been."""
        self.held.clear()
        self.holds = False

    def submit(self, operation: Operation[T]) -> Pending[T]:
        if not self.holds or not isinstance(operation, Accept):
            return super().submit(operation)
        pending: Pending[T] = Pending()
        self.held.append((operation, pending))
        if self.goes:
            self.go()
        return pending


async def two(w: World, birdy: MemoryStore, finch: MemoryStore) -> tuple[Device, Device]:
    await w.node(BIRDY, store=birdy)
    await w.node(FINCH, store=finch)
    w.introduce(BIRDY, FINCH)
    w.introduce(FINCH, BIRDY)
    alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
    alice.send("bob@finch.local", b"first")
    await alice.until(lambda: len(alice.outcomes) == 1)
    return alice, bob


async def settled(w: World) -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_it_arrives_before_it_is_committed_and_is_acknowledged_after(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        birdy, finch = SlowStore(), SlowStore()
        alice, bob = await two(w, birdy, finch)
        birdy.hold()
        finch.hold()
        id_ = alice.send("bob@finch.local", b"second")
        await settled(w)
        assert id_ not in alice.accepted, "no receipt before the commit"
        assert bob.bodies() == [b"first"], "an app is shown what its node has in custody"
        finch.go()
        await bob.until(lambda: bob.bodies() == [b"first", b"second"])
        assert id_ not in alice.accepted
        assert len(alice.outcomes) == 1
        birdy.go()
        await alice.until(lambda: len(alice.outcomes) == 2)
        assert alice.accepted[-1] == id_
        # Everything is settled: nothing waits anywhere.
        await trio.sleep(60)
        for store in (birdy, finch):
            assert all(info.usage.items == 0 for info in await store.read(AllMailboxes()))
        # With so slow a disk here, news of the delivery comes before the peer's receipt can be settled.
        assert {row.event for row in await birdy.read(TraceOf(id_))} == {"accepted", "queued", "held", "delivered"}
        assert [row.event for row in await finch.read(TraceOf(id_))] == ["accepted", "queued", "delivered"]


async def check_crash(w: World, which: str) -> None:
    stores = {BIRDY: SlowStore(), FINCH: SlowStore()}
    alice, bob = await two(w, stores[BIRDY], stores[FINCH])
    stores[which].hold()
    envelope = alice.envelope("bob@finch.local", b"second")
    [id_] = alice.offer([envelope])
    if which == BIRDY:
        await bob.until(lambda: b"second" in bob.bodies())
    else:
        await settled(w)
    w.kill(which)  # its store never saw the message
    await settled(w)
    assert await stores[which].read(TraceOf(id_)) == []
    stores[which].forget()
    await w.node(which, store=stores[which])
    w.introduce(BIRDY, FINCH)
    w.introduce(FINCH, BIRDY)
    for device in (alice, bob):
        if device.closed is not None:
            await device.connect()
    if id_ not in alice.accepted:
        alice.offer([envelope])  # as every app does that has no receipt
    await alice.until(lambda: len(alice.outcomes) == 2)
    assert id_ in alice.accepted
    assert bob.bodies() == [b"first", b"second"], "shown once"
    await trio.sleep(60)
    for store in stores.values():
        assert all(info.usage.items == 0 for info in await store.read(AllMailboxes()))


async def test_the_first_node_ends_before_its_commit(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await check_crash(w, BIRDY)


async def test_the_second_node_ends_before_its_commit(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await check_crash(w, FINCH)


async def test_a_commit_that_fails_is_refused_although_the_message_went_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        birdy, finch = SlowStore(), SlowStore()
        alice, bob = await two(w, birdy, finch)
        birdy.hold()
        birdy.full = True
        envelope = alice.envelope("bob@finch.local", b"second")
        [id_] = alice.offer([envelope])
        await bob.until(lambda: b"second" in bob.bodies())
        birdy.go()
        await alice.until(lambda: alice.refused == {id_: Code.STORE_FULL.number})
        birdy.holds = False
        alice.offer([envelope])
        await alice.until(lambda: id_ in alice.accepted)
        await trio.sleep(60)
        assert bob.bodies() == [b"first", b"second"]
        assert {outcome.code for outcome in alice.outcomes if outcome.ids == id_} == {0}
        assert all(info.usage.items == 0 for info in await birdy.read(AllMailboxes()))


async def test_what_cannot_be_stored_is_handed_on_once_however_often_it_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        birdy, finch = SlowStore(), MemoryStore()
        alice, bob = await two(w, birdy, finch)
        birdy.hold()
        birdy.full = True
        birdy.go()
        envelope = alice.envelope("bob@finch.local", b"second")
        for _ in range(5):
            alice.refused.clear()
            [id_] = alice.offer([envelope])
            await alice.until(lambda id_=id_: id_ in alice.refused)  # type: ignore[misc] # the loop's own
            await settled(w)
        assert bob.bodies() == [b"first", b"second"]
        taken = w.nodes[FINCH].relay.intake
        assert (taken.accepted, taken.duplicates) == (2, 0)


async def test_order_is_kept_while_commits_are_slow(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy, finch = SlowStore(), SlowStore()
        alice, bob = await two(w, birdy, finch)
        birdy.hold()
        bodies = [b"%d" % number for number in range(20)]
        for body in bodies:
            alice.send("bob@finch.local", body)
            await settled(w)
        birdy.go()
        birdy.holds = False
        await bob.until(lambda: len(bob.inbox) == 21)
        assert bob.bodies() == [b"first", *bodies]


async def test_what_came_in_a_larger_batch_is_not_offered_again_when_it_comes_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, bob = await two(w, MemoryStore(), MemoryStore())
        many = [alice.envelope("bob@finch.local", b"%d" % number) for number in range(EARLY_ENVELOPES_MAX + 1)]
        twice = alice.envelope("bob@finch.local", b"twice")
        offered = count_offers(bob)
        alice.offer(many)
        [id_, _] = alice.offer([twice, twice])
        await trio.sleep(5)
        alice.offer([many[0]])
        alice.offer([twice])
        await trio.sleep(5)
        assert offered.count(envelope_id(many[0])) == offered.count(id_) == 1


def count_offers(device: Device) -> list[bytes]:
    """The ids that a device is offered from now on, each time that it is."""
    offered: list[bytes] = []
    take = device._take

    def counting(event: Offered) -> None:
        offered.extend(event.ids)
        take(event)

    device._take = counting  # type: ignore[method-assign, assignment]
    return offered
