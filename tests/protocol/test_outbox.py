"""The outbox against a slow twin: a store, a next hop, and chance."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from waypost.errors import Code
from waypost.limits import FEED_FLOOR_BYTES
from waypost.protocol.custody.outbox import EAGER_BATCHES, Allowance, Chunk, Outbox, OutboxState, Verdict
from waypost.protocol.custody.transfer import Refusal


@dataclass(frozen=True)
class Box:
    """A parcel of the twin's store."""

    seq: int
    items: tuple[bytes, ...]
    kind: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.items))


def box(seq: int, count: int = 1, size: int = 10, kind: int = 0) -> Box:
    return Box(seq, tuple(f"{seq}.{index}".encode().ljust(size, b"_") for index in range(count)), kind)


def attached(*boxes: Box, max_items: int = 100, max_bytes: int = 10_000) -> Outbox[Box]:
    outbox: Outbox[Box] = Outbox(max_items, max_bytes)
    outbox.attach()
    wanted = outbox.wants_fetch()
    assert wanted is not None
    outbox.fetched(wanted[0], boxes)
    return outbox


def take(
    outbox: Outbox[Box], items: int = 100, size: int = 10_000, in_flight: int = 0, now: float = 0.0
) -> list[bytes]:
    return [item for chunk in outbox.take(items, size, in_flight, now) for item in chunk.items]


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_detached_it_holds_nothing() -> None:
    outbox: Outbox[Box] = Outbox()
    outbox.add(box(1))
    assert outbox.wants_fetch() is None
    assert take(outbox) == []
    assert outbox.state is OutboxState.DETACHED


def test_what_is_added_during_a_fetch_is_neither_lost_nor_doubled() -> None:
    outbox: Outbox[Box] = Outbox()
    outbox.attach()
    wanted = outbox.wants_fetch()
    assert wanted is not None
    outbox.add(box(2))  # committed after the store was read
    outbox.fetched(wanted[0], [box(1)])
    again = outbox.wants_fetch()
    assert again == (wanted[0], 1)
    outbox.fetched(wanted[0], [box(2)])
    outbox.add(box(2))
    assert take(outbox) == [*box(1).items, *box(2).items]


def test_an_answer_for_a_former_attachment_changes_nothing() -> None:
    outbox: Outbox[Box] = Outbox()
    outbox.attach()
    wanted = outbox.wants_fetch()
    assert wanted is not None
    outbox.attach()
    outbox.fetched(wanted[0], [box(1)])
    outbox.fetch_failed(wanted[0])
    assert take(outbox) == []
    assert outbox.wants_fetch() is not None


def test_a_fetch_that_failed_is_wanted_again() -> None:
    outbox: Outbox[Box] = Outbox()
    outbox.attach()
    wanted = outbox.wants_fetch()
    assert wanted is not None
    assert outbox.wants_fetch() is None
    outbox.fetch_failed(wanted[0])
    assert outbox.wants_fetch() == wanted


def test_memory_is_bounded_and_the_rest_is_read_later() -> None:
    outbox = attached(*(box(seq) for seq in range(1, 5)), max_items=4)
    assert outbox.wants_fetch() is None
    for seq in range(5, 9):
        outbox.add(box(seq))
    assert outbox._bytes == 40
    assert len(take(outbox, items=2)) == 2
    wanted = outbox.wants_fetch()
    assert wanted is not None
    assert wanted[1] == 4


def test_a_batch_is_of_one_kind() -> None:
    outbox = attached(box(1, kind=1), box(2), box(3), box(4, kind=1))
    kinds = [[chunk.entry.kind for chunk in outbox.take(100, 10_000, 0, 0.0)] for _ in range(3)]
    assert kinds == [[1], [0, 0], [1]]


def test_a_small_window_cuts_an_entry_into_chunks_that_are_done_together() -> None:
    outbox = attached(box(1, count=5))
    chunks = [outbox.take(2, 10_000, 0, 0.0) for _ in range(3)]
    assert [len(chunk.items) for [chunk] in chunks] == [2, 2, 1]
    done = [outbox.settle(each, ()).done for each in reversed(chunks)]
    assert done == [[], [], [1]]


def test_bytes_bound_a_batch_too() -> None:
    outbox = attached(box(1, count=3, size=40))
    assert len(take(outbox, size=100)) == 2
    assert len(take(outbox, size=39)) == 0
    assert len(take(outbox, size=40)) == 1


def test_with_many_batches_in_flight_small_ones_wait_for_company() -> None:
    outbox = attached(box(1))
    assert take(outbox, in_flight=EAGER_BATCHES) == []
    assert take(outbox, items=1, in_flight=EAGER_BATCHES) == list(box(1).items)


def test_a_refusal_for_one_recipient_keeps_that_item_alone() -> None:
    outbox = attached(box(1, count=3))
    chunks = outbox.take(100, 10_000, 0, 0.0)
    verdict = outbox.settle(chunks, [Refusal(1, Code.MAILBOX_FULL.number, 7), Refusal(2, Code.NOT_FOUND.number)])
    assert verdict.keep == [(1, (1,))]
    assert verdict.done == []
    assert [(refused.index, refused.retry_s) for refused in verdict.deferred] == [(1, 7)]
    assert [refused.index for refused in verdict.bounced] == [2]
    assert [list(indexes) for _, indexes in verdict.taken] == [[0]]
    assert verdict.pause is None


@pytest.mark.parametrize(
    "code", [Code.STORE_FULL, Code.RATE_LIMITED, Code.INTERNAL, Code.BUSY, Code.CLOSING, Code.UNREACHABLE]
)
def test_a_refusal_for_the_hop_puts_back_in_order(code: Code) -> None:
    outbox = attached(box(1, count=3), box(2))
    chunks = outbox.take(100, 10_000, 0, 0.0)
    verdict = outbox.settle(chunks, [Refusal(1, code.number, 9), Refusal(2, code.number), Refusal(3, code.number)])
    assert verdict.pause is not None
    assert (verdict.done, verdict.keep) == ([], [])
    outbox.pause(5.0)
    assert take(outbox, now=4.9) == []
    assert take(outbox, now=5.0) == [*box(1, count=3).items[1:], *box(2).items]


def test_what_is_put_back_is_settled_with_its_entry() -> None:
    outbox = attached(box(1, count=3))
    chunks = outbox.take(100, 10_000, 0, 0.0)
    first = outbox.settle(
        chunks, [Refusal(0, Code.MAILBOX_FULL.number), Refusal(1, Code.BUSY.number), Refusal(2, Code.NOT_FOUND.number)]
    )
    assert (first.done, first.keep) == ([], [])
    again = outbox.take(100, 10_000, 0, 0.0)
    assert [item for chunk in again for item in chunk.items] == [box(1, count=3).items[1]]
    assert outbox.settle(again, ()).keep == [(1, (0,))]


def test_an_earlier_pause_does_not_shorten_a_later_one() -> None:
    outbox = attached(box(1))
    outbox.pause(10.0)
    outbox.pause(5.0)
    assert take(outbox, now=9.0) == []
    assert take(outbox, now=10.0) == list(box(1).items)


def test_a_receipt_without_refusals_after_a_refused_chunk_keeps_what_was_refused() -> None:
    outbox = attached(box(1, count=4))
    one, two = outbox.take(2, 10_000, 0, 0.0), outbox.take(2, 10_000, 0, 0.0)
    assert outbox.settle(one, [Refusal(0, Code.NO_KEYS.number)]).keep == []
    assert outbox.settle(two, ()).keep == [(1, (0,))]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 7), st.integers(10, 60))
def test_any_window_lets_everything_out_in_order(counts: list[int], window: int, size: int) -> None:
    boxes = [box(seq, count) for seq, count in enumerate(counts, 1)]
    outbox = attached(*boxes)
    out: list[bytes] = []
    done: list[int] = []
    while chunks := outbox.take(window, size, 0, 0.0):
        assert sum(len(chunk.items) for chunk in chunks) <= window
        assert sum(len(item) for chunk in chunks for item in chunk.items) <= size
        out += [item for chunk in chunks for item in chunk.items]
        done += outbox.settle(chunks, ()).done
    assert out == [item for each in boxes for item in each.items]
    assert done == [each.seq for each in boxes]


# ── by chance ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CODES = st.sampled_from(
    [Code.MAILBOX_FULL, Code.NO_KEYS, Code.NOT_FOUND, Code.EXPIRED, Code.STORE_FULL, Code.RATE_LIMITED]
)


@dataclass
class Hop:
    """What a twin remembers of one item: how often it was taken or refused for good on *this* attachment."""

    taken: int = 0
    bounced: int = 0
    deferred: int = 0


@dataclass
class World:
    """The store: entries in order, and those kept for later."""

    entries: dict[int, Box] = field(default_factory=dict)
    kept: dict[int, Box] = field(default_factory=dict)
    next_seq: int = 1
    taken: set[bytes] = field(default_factory=set)
    bounced: set[bytes] = field(default_factory=set)
    added: set[bytes] = field(default_factory=set)


class OutboxMachine(RuleBasedStateMachine):
    """Links come and go, windows are small, receipts come in any order, reads overlap with commits."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.outbox: Outbox[Box] = Outbox(max_items=8, max_bytes=120)
        self.reads: deque[tuple[int, list[Box]]] = deque()
        self.flying: list[list[Chunk[Box]]] = []
        self.uncommitted: deque[Box] = deque()
        self.now = 0.0
        self.offered: list[tuple[int, int]] = []  # (seq, index), in order of the first offer on this attachment
        self.hops: dict[tuple[int, int], Hop] = {}
        self.back: set[tuple[int, int]] = set()
        self.names = 0

    def _new(self, items: Sequence[bytes], kind: int) -> Box:
        made = Box(self.world.next_seq, tuple(items), kind)
        self.world.next_seq += 1
        self.world.entries[made.seq] = made
        return made

    @rule(count=st.integers(1, 5), kind=st.sampled_from([0, 0, 0, 1]))
    def commit(self, count: int, kind: int) -> None:
        items = []
        for _ in range(count):
            self.names += 1
            items.append(f"{self.names:08}".encode())
        self.world.added.update(items)
        # In the store at once; the machine hears of it in the same order, but maybe later.
        self.uncommitted.append(self._new(items, kind))

    @rule()
    def hear(self) -> None:
        while self.uncommitted:
            self.outbox.add(self.uncommitted.popleft())

    @rule()
    def attach(self) -> None:
        self.outbox.attach()
        self._forget_link()

    @rule()
    def detach(self) -> None:
        self.outbox.detach()
        self._forget_link()

    def _forget_link(self) -> None:
        self.flying.clear()
        self.offered.clear()
        self.hops.clear()
        self.back.clear()

    @rule(bound=st.integers(1, 6))
    def read(self, bound: int) -> None:
        wanted = self.outbox.wants_fetch()
        if wanted is not None:
            generation, after = wanted
            found = [self.world.entries[seq] for seq in sorted(self.world.entries) if seq > after]
            self.reads.append((generation, found[:bound]))

    @precondition(lambda self: self.reads)
    @rule(fails=st.booleans())
    def finish_read(self, fails: bool) -> None:
        generation, found = self.reads.popleft()
        if fails:
            self.outbox.fetch_failed(generation)
        else:
            self.outbox.fetched(generation, found)

    @rule(items=st.integers(0, 6), size=st.integers(0, 60))
    def offer(self, items: int, size: int) -> None:
        chunks = self.outbox.take(items, size, len(self.flying), self.now)
        if not chunks:
            return
        assert self.outbox.state is not OutboxState.DETACHED
        assert self.now >= self.outbox.paused_until
        assert len({chunk.entry.kind for chunk in chunks}) == 1
        assert sum(len(chunk.items) for chunk in chunks) <= items
        assert sum(len(item) for chunk in chunks for item in chunk.items) <= size
        for chunk in chunks:
            for index in range(chunk.start, chunk.stop):
                key = (chunk.entry.seq, index)
                if key in self.back:
                    self.back.discard(key)
                else:
                    assert key not in self.hops, "offered twice on one link"
                    assert not self.offered or self.offered[-1] < key, "out of order"
                    self.offered.append(key)
                    self.hops[key] = Hop()
        self.flying.append(chunks)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def receipt(self, data: st.DataObject) -> None:
        chunks = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        count = sum(len(chunk.items) for chunk in chunks)
        picked = data.draw(st.dictionaries(st.integers(0, count - 1), _CODES, max_size=count))
        verdict = self.outbox.settle(chunks, [Refusal(index, code.number) for index, code in picked.items()])
        self._judge(chunks, picked, verdict)
        if verdict.pause is not None:
            self.outbox.pause(self.now + 2)

    def _judge(self, chunks: list[Chunk[Box]], picked: dict[int, Code], verdict: Verdict[Box]) -> None:
        flat = [(chunk.entry, index) for chunk in chunks for index in range(chunk.start, chunk.stop)]
        said: dict[tuple[int, int], str] = {}
        for entry, indexes in verdict.taken:
            for index in indexes:
                assert said.setdefault((entry.seq, index), "taken") == "taken"
                self.world.taken.add(entry.items[index])
        for refused in verdict.bounced:
            assert said.setdefault((refused.entry.seq, refused.index), "bounced") == "bounced"
            self.world.bounced.add(refused.entry.items[refused.index])
        for refused in verdict.deferred:
            assert said.setdefault((refused.entry.seq, refused.index), "deferred") == "deferred"
        for position, (entry, index) in enumerate(flat):
            code = picked.get(position)
            told = said.get((entry.seq, index))
            if code is None:
                assert told == "taken"
            elif code in (Code.STORE_FULL, Code.RATE_LIMITED):
                assert told is None
                assert verdict.pause is not None
                self.back.add((entry.seq, index))
            else:
                assert told == ("bounced" if code in (Code.NOT_FOUND, Code.EXPIRED) else "deferred")
        for seq in verdict.done:
            gone = self.world.entries.pop(seq)
            assert all(item in self.world.taken | self.world.bounced for item in gone.items)
        for seq, indexes in verdict.keep:
            entry = self.world.entries.pop(seq)
            left = [item for index, item in enumerate(entry.items) if index not in indexes]
            assert all(item in self.world.taken | self.world.bounced for item in left)
            self.world.kept[seq] = Box(seq, tuple(entry.items[index] for index in indexes), entry.kind)

    @precondition(lambda self: self.world.kept)
    @rule()
    def requeue(self) -> None:
        for seq in sorted(self.world.kept):
            entry = self.world.kept.pop(seq)
            self.uncommitted.append(self._new(entry.items, entry.kind))

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def memory_is_bounded(self) -> None:
        # A read adds at most 6 parcels of 5 to a memory at most half full; a pause puts back what was in flight.
        flying = sum(len(chunk.items) for batch in self.flying for chunk in batch)
        assert self.outbox._bytes <= 8 * (8 + 6 * 5 + flying + len(self.back))

    @invariant()
    def nothing_is_lost(self) -> None:
        held = {item for entry in [*self.world.entries.values(), *self.world.kept.values()] for item in entry.items}
        assert self.world.added == held | self.world.taken | self.world.bounced

    def teardown(self) -> None:
        """Given time and a willing hop, everything goes."""
        self.hear()
        while self.world.kept:
            self.requeue()
        self.hear()
        self.attach()
        self.reads.clear()
        for _ in range(10_000):
            self.read(6)
            while self.reads:
                self.finish_read(fails=False)
            self.now += 10
            self.offer(6, 60)
            if not self.flying:
                break
            for chunks in self.flying:
                self._judge(chunks, {}, self.outbox.settle(chunks, ()))
            self.flying.clear()
        assert not self.world.entries


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_all_outboxes_share_one_allowance_and_none_is_shut_out() -> None:
    allowance = Allowance(100)
    greedy: Outbox[Box] = Outbox(allowance=allowance)
    modest: Outbox[Box] = Outbox(allowance=allowance)
    for outbox in (greedy, modest):
        outbox.attach()
        assert outbox.wants_fetch() is not None
        outbox.fetched(1, [])
    for seq in range(1, 20):
        greedy.add(Box(seq, (bytes(10),)))
    assert allowance.left == 0
    assert greedy.wants_fetch() is None, "it holds something and there is no more"
    modest.add(Box(30, (bytes(10),)))
    [mine] = modest.take(10, 1_000, 0, 0.0)
    assert mine.entry.seq == 30, "the first of each always finds room"
    modest.add(Box(31, (bytes(10),)))
    assert modest.wants_fetch() is None
    assert modest.settle([mine], ()).done == [30]
    generation, after = modest.wants_fetch() or (0, 0)
    assert (after, modest.fetch_bytes) == (30, FEED_FLOOR_BYTES)
    modest.fetched(generation, [Box(31, (bytes(10),))])
    taken = greedy.take(10, 1_000, 0, 0.0)
    assert len(taken) == 10
    greedy.settle(taken, ())
    assert allowance.left == 90
    modest.detach()
    greedy.detach()
    assert allowance.left == 100
