"""What simulations have found in the relay, made as small as can be. See scripts/support/simulate/found.py."""

from typing import TypeVar

import trio
from tests.relay.stranger import Stranger, record_of
from tests.relay.world import VirtualClock, world

from waypost.errors import Code
from waypost.protocol.custody.transfer import Outcome
from waypost.protocol.directory.asks import Records
from waypost.protocol.directory.record import RecordState
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost.protocol.frames.session import Noticed
from waypost.relay.settings import Quotas
from waypost.storage.memory.engine import MemoryStore
from waypost.storage.operations.base import Operation
from waypost.storage.operations.mail import Settle
from waypost.storage.pending import Pending

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"

T = TypeVar("T")


class Counting(MemoryStore):
    """Counts settlements; refuses them while `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.settlements: list[Settle] = []

    def submit(self, operation: Operation[T]) -> Pending[T]:
        if isinstance(operation, Settle):
            self.settlements.append(operation)
        return super().submit(operation)


async def test_what_expires_on_a_full_disk_is_given_up_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        store = Counting()
        await w.node(BIRDY, store=store)
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        carol.disconnect()
        await carol.until(lambda: carol.closed is not None)
        # One parcel, of which one message expires: the news of it need room, and what stays frees none.
        alice.offer(
            [alice.envelope("carol@birdy.local", bytes(8), expires_s=60), alice.envelope("carol@birdy.local", bytes(8))]
        )
        await alice.until(lambda: len(alice.accepted) == 2)
        store.state.max_bytes = 1
        before = len(store.settlements)
        await trio.sleep(600)
        # One try a second and no more, however often the node looks for what has expired.
        assert len(store.settlements) - before < 700
        store.state.max_bytes = None
        await alice.until(lambda: bool(alice.outcomes))
        await trio.sleep(600)
        assert [outcome.code for outcome in alice.outcomes] == [Code.EXPIRED.number]


async def test_news_for_a_sender_whose_mailbox_is_full_stay_with_the_peer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        await w.node(BIRDY, quotas=Quotas(mailbox_envelopes=1))
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        [id_] = alice.send_many("bob@finch.local", [b"hello"])
        await finch.until(lambda: bool(finch.offered))
        alice.disconnect()
        await alice.until(lambda: alice.closed is not None)
        carol.send("alice@birdy.local", b"fills it")
        await carol.until(lambda: len(carol.accepted) == 1)
        news = Outcome("alice", "bob@finch.local", 0, VirtualClock().wall_ms(), id_)
        finch.session.report([news], "news")
        finch.pump.wake()
        await finch.until(lambda: bool(finch.settled))
        assert [refusal.code for refusal in finch.settled[0].refusals] == [Code.MAILBOX_FULL.number]
        await alice.connect()
        await alice.until(lambda: len(alice.inbox) == 1)
        await trio.testing.wait_all_tasks_blocked()  # her receipt has been settled, so there is room
        finch.session.report([news], "news again")
        finch.pump.wake()
        await alice.until(lambda: alice.outcomes == [news])


async def test_a_tombstone_is_passed_on_at_once_and_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        node = await w.node(BIRDY)
        heron, finch = Stranger(w, HERON), Stranger(w, FINCH)
        for each in (heron, finch):
            await each.dial(BIRDY)
            await w.linked(BIRDY, each.name)
        tombstone = record_of(FINCH, finch.key, sequence=1, state=RecordState.GONE)

        def heard() -> list[Notice]:
            noticed = [event.notice for event in heron.events if isinstance(event, Noticed)]
            return [notice for notice in noticed if notice.data == tombstone]

        finch.session.notice(Notice(NoticeKind.RECORD, data=tombstone))
        finch.pump.wake()
        await heron.until(lambda: len(heard()) == 1)
        # Heron passes it back, as a node would; nobody is told what they know.
        await heron.ask(Records((tombstone,)))
        await trio.sleep(60)
        assert len(heard()) == 1
        # Nor does it make this node a loudspeaker to leave again and again.
        before = len(heron.events)
        for sequence in range(2, 20):
            again = record_of(FINCH, finch.key, sequence=sequence, state=RecordState.GONE)
            finch.session.notice(Notice(NoticeKind.RECORD, data=again))
        finch.pump.wake()
        await trio.sleep(10)
        assert len(heron.events) == before
        gone = node.relay.peers.get(FINCH)
        assert gone is not None
        assert gone.gone


async def test_no_news_wait_for_a_provider_that_has_left(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        node = await w.node(BIRDY)
        alice, finch = await w.device(BIRDY, "alice"), Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await w.linked(BIRDY, FINCH)
        alice.disconnect()
        await alice.until(lambda: alice.closed is not None)
        finch.offer(alice.envelope("alice@birdy.local", b"hello", sender="bob@finch.local"))
        await finch.until(lambda: bool(finch.settled))
        finch.session.notice(
            Notice(NoticeKind.RECORD, data=record_of(FINCH, finch.key, sequence=1, state=RecordState.GONE))
        )
        finch.pump.wake()
        gone = node.relay.peers.get(FINCH)
        assert gone is not None
        await trio.testing.wait_all_tasks_blocked()
        await finch.stream.aclose()
        await w.unlinked(BIRDY, FINCH)
        await alice.connect()
        await alice.until(lambda: len(alice.inbox) == 1)
        await trio.sleep(60)
        assert node.relay.usages.of(gone.mailbox).items == 0
