"""What one mailbox has to hand over, and in which order: the machine behind every custody hop.

The store has everything; this holds a bounded part of it in memory, in order, while somebody is connected to take it:

    store ── add (just committed) ──┐
          └─ fetch (older) ─────────┴→ waiting ── take ──→ in flight ── settle ──→ done | kept | refused
                                          └───────── put back, pause ─────────┘

Two ways lead from the store into `waiting`, and a mailbox keeps its order only if never both are open. Which one is, is
the outbox's state:

    state     | what is committed (`add`) | the store is read            | goes on to
    DETACHED  | is left to the store      | never                        | BEHIND by attach
    FED       | is appended               | never: memory has it all     | BEHIND by an add without room, or a look
    BEHIND    | is left to the store      | as soon as there is room     | READING by `wants_fetch`
    READING   | is left to the store      | a read is under way          | MISSED by an add or a look; FED if it finds
              |                           |                              | nothing, else BEHIND, as if it has failed
    MISSED    | is left to the store      | a read is under way that may | BEHIND, whatever the read finds
              |                           | have begun too early         |

Every state goes to DETACHED by detach. The law behind it: FED is entered only by a read that has found nothing and
during which nothing was added, since only then is memory known to have all that the store has.

An entry is a parcel of the store. If a window is small, an entry goes out in several chunks; it is finished when the
last of them has been settled. A refusal that is about one recipient keeps that item alone for later; a refusal that is
about the whole next hop puts everything back and pauses, since trying the rest would only be refused as well.

Where several processes share a store, another one may have placed something behind what was read here. `look_again`
reads the mailbox anew from its beginning and passes over what memory has. What is just being struck off may so be
offered once more; its receiver knows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Protocol, TypeVar

from waypost.clock import Instant
from waypost.errors import Code, is_for_good
from waypost.limits import FEED_FLOOR_BYTES, FEED_MAX_BYTES, FEED_MAX_ENVELOPES, FEEDS_MAX_BYTES, FETCH_MAX_BYTES
from waypost.protocol.custody.transfer import Refusal

#: Refusals for now that are about the next hop as a whole, not about one recipient.
HOP_CODES = frozenset(
    code.number
    for code in (Code.STORE_FULL, Code.RATE_LIMITED, Code.INTERNAL, Code.BUSY, Code.CLOSING, Code.UNREACHABLE)
)
#: With this many batches in flight, smaller ones wait to be joined by others: under load batches grow by themselves.
EAGER_BATCHES = 4


class Entry(Protocol):
    """What the machine needs of a parcel."""

    @property
    def seq(self) -> int: ...

    @property
    def kind(self) -> int: ...

    @property
    def items(self) -> tuple[bytes, ...]: ...

    @property
    def size(self) -> int: ...


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class Chunk(Generic[E]):
    """Items `start` to `stop` of an entry."""

    entry: E
    start: int
    stop: int

    @property
    def items(self) -> tuple[bytes, ...]:
        return self.entry.items[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Untaken(Generic[E]):
    """One item that the next hop did not take."""

    entry: E
    index: int
    code: int
    retry_s: int


@dataclass(slots=True)
class Verdict(Generic[E]):
    """What a receipt means. `done` and `keep` concern whole entries, once their last chunk is settled."""

    taken: list[tuple[E, Sequence[int]]] = field(default_factory=list)
    bounced: list[Untaken[E]] = field(default_factory=list)
    deferred: list[Untaken[E]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    keep: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    pause: Untaken[E] | None = None  #: the next hop takes nothing now


@dataclass(slots=True)
class Allowance:
    """Bytes that all outboxes of a node together may still hold in memory."""

    left: int = FEEDS_MAX_BYTES


class OutboxState(Enum):
    """See the module."""

    DETACHED = "detached"
    FED = "fed"
    BEHIND = "behind"
    READING = "reading"
    MISSED = "missed"


@dataclass(slots=True)
class _Progress:
    left: int
    keep: list[int] = field(default_factory=list)


class Outbox(Generic[E]):
    """See the module. Detached, it holds nothing: the store has it all."""

    def __init__(
        self, max_items: int = FEED_MAX_ENVELOPES, max_bytes: int = FEED_MAX_BYTES, allowance: Allowance | None = None
    ) -> None:
        self._allowance = allowance or Allowance()
        self._charged: dict[int, int] = {}  #: seq → size of each entry in memory, waiting or in flight
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.state = OutboxState.DETACHED
        self._waiting: deque[Chunk[E]] = deque()
        self._items = 0
        self._bytes = 0
        self._reached = 0  #: everything up to this seq is, or was, in memory
        self._again: int | None = None  #: the mailbox is to be read anew, from behind this seq
        self._reading_again: int | None = None  #: the read under way does so
        self._progress: dict[int, _Progress] = {}
        self._paused_until: Instant = 0.0
        self._generation = 0

    @property
    def paused_until(self) -> Instant:
        """Nothing is taken before that; it may have passed."""
        return self._paused_until

    def attach(self) -> None:
        """Somebody is there to take it. Everything not settled is read from the store again."""
        self.detach()
        self.state = OutboxState.BEHIND

    def detach(self) -> None:
        """Nobody is there any more; what was in flight is still the store's."""
        self.state = OutboxState.DETACHED
        self._waiting.clear()
        self._progress.clear()
        self._allowance.left += sum(self._charged.values())
        self._charged.clear()
        self._items = self._bytes = self._reached = 0
        self._again = self._reading_again = None
        self._paused_until = 0.0
        self._generation += 1

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, entry: E) -> None:
        """A parcel has just been committed; call in the order of commits."""
        if self.state is OutboxState.DETACHED or entry.seq <= self._reached:
            return
        full = self._items >= self._max_items or self._bytes >= self._max_bytes
        if self.state is not OutboxState.FED or full or (self._charged and self._allowance.left < entry.size):
            self._fall_behind()
        else:
            self._append(entry)

    def look_again(self) -> None:
        """The store may have what was not added here, anywhere in the order."""
        if self.state is not OutboxState.DETACHED:
            self._again = 0
            self._fall_behind()

    def _fall_behind(self) -> None:
        reading = self.state in (OutboxState.READING, OutboxState.MISSED)
        self.state = OutboxState.MISSED if reading else OutboxState.BEHIND

    @property
    def idle(self) -> bool:
        """Everything that the store has is, or was, in memory, and nothing of it waits."""
        return self.state is OutboxState.FED and not self._waiting

    def passed(self, seq: int) -> bool:
        """A parcel has just been committed whose items are in flight already; False: it will be read like others."""
        if self.state is not OutboxState.FED or seq <= self._reached:
            return False
        self._reached = seq
        return True

    def wants_fetch(self) -> tuple[int, int] | None:
        """`(generation, after)` when the store should be read, once: answer with `fetched`."""
        if (
            self.state is not OutboxState.BEHIND
            or self._items > self._max_items // 2
            or self._bytes > self._max_bytes // 2
            or (self._charged and self._allowance.left <= 0)
        ):
            return None
        self.state = OutboxState.READING
        self._reading_again, self._again = self._again, None
        return self._generation, self._reached if self._reading_again is None else self._reading_again

    @property
    def fetch_bytes(self) -> int:
        """How much to read at once."""
        return FETCH_MAX_BYTES if self._allowance.left >= FETCH_MAX_BYTES else FEED_FLOOR_BYTES

    def fetched(self, generation: int, entries: Sequence[E]) -> None:
        """The store's parcels after that seq, in order; none means that there are no more."""
        if generation != self._generation:
            return
        reached, again = self._reached, self._reading_again is not None
        for entry in entries:
            if entry.seq > reached or (again and entry.seq not in self._charged):
                self._append(entry)
        if again and entries and entries[-1].seq < reached and self._again is None:
            self._again = entries[-1].seq
        nothing_more = not entries and self.state is OutboxState.READING
        self.state = OutboxState.FED if nothing_more else OutboxState.BEHIND

    def fetch_failed(self, generation: int) -> None:
        """The store could not be read; `wants_fetch` will say so again."""
        if generation == self._generation:
            self.state = OutboxState.BEHIND
            if self._again is None:
                self._again = self._reading_again

    def _append(self, entry: E) -> None:
        self._waiting.append(Chunk(entry, 0, len(entry.items)))
        self._items += len(entry.items)
        self._bytes += entry.size
        self._reached = max(self._reached, entry.seq)
        self._charged[entry.seq] = entry.size
        self._allowance.left -= entry.size

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, max_items: int, max_bytes: int, in_flight: int, now: Instant) -> list[Chunk[E]]:
        """The next batch: chunks of one kind, within the bounds; empty if nothing should go now."""
        if not self._waiting or now < self._paused_until or max_items <= 0:
            return []
        if in_flight >= EAGER_BATCHES and self._items < max_items and self._bytes < max_bytes:
            return []
        kind = self._waiting[0].entry.kind
        chunks: list[Chunk[E]] = []
        while self._waiting and self._waiting[0].entry.kind == kind and max_items > 0:
            chunk = self._waiting[0]
            count, size = self._fitting(chunk, max_items, max_bytes)
            if count == 0:
                break
            self._waiting.popleft()
            stop = chunk.start + count
            chunks.append(chunk if stop == chunk.stop else Chunk(chunk.entry, chunk.start, stop))
            if stop < chunk.stop:
                self._waiting.appendleft(Chunk(chunk.entry, stop, chunk.stop))
            self._items -= count
            self._bytes -= size
            max_items -= count
            max_bytes -= size
        return chunks

    @staticmethod
    def _fitting(chunk: Chunk[E], max_items: int, max_bytes: int) -> tuple[int, int]:
        whole = chunk.stop - chunk.start == len(chunk.entry.items)
        if whole and len(chunk.entry.items) <= max_items and chunk.entry.size <= max_bytes:
            return len(chunk.entry.items), chunk.entry.size
        count = size = 0
        for item in chunk.items[:max_items]:
            if size + len(item) > max_bytes:
                break
            count += 1
            size += len(item)
        return count, size

    def settle(self, chunks: Sequence[Chunk[E]], refusals: Sequence[Refusal]) -> Verdict[E]:
        """What the receipt for a batch means; `refusals` are indexed over the batch."""
        verdict: Verdict[E] = Verdict()
        by_index = {refusal.index: refusal for refusal in refusals}
        if any(refusal.code in HOP_CODES for refusal in refusals):
            return self._settle_paused(chunks, by_index, verdict)
        base = 0
        for chunk in chunks:
            count = chunk.stop - chunk.start
            if by_index:
                self._settle_items(chunk, by_index, base, verdict)
            else:
                verdict.taken.append((chunk.entry, range(chunk.start, chunk.stop)))
            self._finish(chunk, verdict)
            base += count
        return verdict

    def _settle_items(self, chunk: Chunk[E], by_index: dict[int, Refusal], base: int, verdict: Verdict[E]) -> None:
        taken = []
        for index in range(chunk.start, chunk.stop):
            refusal = by_index.get(base + index - chunk.start)
            if refusal is None:
                taken.append(index)
                continue
            refused = Untaken(chunk.entry, index, refusal.code, refusal.retry_s)
            if is_for_good(refusal.code):
                verdict.bounced.append(refused)
            else:
                verdict.deferred.append(refused)
                self._progress_of(chunk.entry).keep.append(index)
        if taken:
            verdict.taken.append((chunk.entry, taken))

    def _settle_paused(
        self, chunks: Sequence[Chunk[E]], by_index: dict[int, Refusal], verdict: Verdict[E]
    ) -> Verdict[E]:
        """Runs of items that the hop cannot take now go back to the front; the others are settled as ever."""
        back: list[Chunk[E]] = []
        base = 0
        for chunk in chunks:
            for index in range(chunk.start, chunk.stop):
                single = Chunk(chunk.entry, index, index + 1)
                position = base + index - chunk.start
                refusal = by_index.get(position)
                if refusal is not None and refusal.code in HOP_CODES:
                    verdict.pause = Untaken(chunk.entry, index, refusal.code, refusal.retry_s)
                    back.append(single)
                else:
                    self._settle_items(single, by_index, position, verdict)
                    self._finish(single, verdict)
            base += chunk.stop - chunk.start
        for single in reversed(back):
            self._waiting.appendleft(single)
            self._items += 1
            self._bytes += len(single.entry.items[single.start])
        return verdict

    def pause(self, until: Instant) -> None:
        """Take nothing before then."""
        self._paused_until = max(self._paused_until, until)

    def _progress_of(self, entry: E) -> _Progress:
        return self._progress.setdefault(entry.seq, _Progress(len(entry.items)))

    def _finish(self, chunk: Chunk[E], verdict: Verdict[E]) -> None:
        count = chunk.stop - chunk.start
        if count == len(chunk.entry.items) and chunk.entry.seq not in self._progress:
            verdict.done.append(chunk.entry.seq)
            self._allowance.left += self._charged.pop(chunk.entry.seq, 0)
            return
        progress = self._progress_of(chunk.entry)
        progress.left -= count
        if progress.left > 0:
            return
        del self._progress[chunk.entry.seq]
        self._allowance.left += self._charged.pop(chunk.entry.seq, 0)
        if progress.keep:
            verdict.keep.append((chunk.entry.seq, tuple(sorted(progress.keep))))
        else:
            verdict.done.append(chunk.entry.seq)
