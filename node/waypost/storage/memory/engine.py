"""The Store in memory: the slow and obvious twin of the SQLite one, for tests and for the lab.

Verbs have taken effect when the call returns, so it works under any event loop and under none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from waypost.clock import SECOND_MS, WallMs
from waypost.errors import Code, LocalError
from waypost.limits import EXPIRY_MAX_S, SEEN_EXTRA_MS, TRACE_LIFETIME_MS
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.fields import ID_BYTES
from waypost.storage.memory.directory import Entry, MemoryDirectory, verb
from waypost.storage.store import (
    Accepted,
    Deposit,
    Item,
    Keep,
    Parcel,
    ParcelKind,
    Placed,
    Settlement,
    Trace,
)

T = TypeVar("T")


class MemoryStore(MemoryDirectory):
    """See the module. Beyond `max_bytes` of envelopes, outcomes and packages, Refused(STORE_FULL)."""

    def __init__(self, *, max_bytes: int | None = None, epoch: int = 1) -> None:
        super().__init__(max_bytes=max_bytes, epoch=epoch)
        self._seq = 0
        self._seen: dict[bytes, tuple[WallMs, list[Trace]]] = {}  #: id → when it was made, how its trace begins
        self._traces: list[Trace] = []

    @verb
    def accept(self, deposit: Deposit) -> Accepted:
        fresh: dict[bytes, Item] = {}
        for item in deposit.items:
            if item.id not in self._seen:
                fresh.setdefault(item.id, item)
        groups: dict[tuple[int, ...], list[Item]] = {}
        for item in fresh.values():
            groups.setdefault(item.mailboxes, []).append(item)
        self._need_room(sum(len(item.envelope) * len(item.mailboxes) for item in fresh.values()))
        for item in fresh.values():
            rows = [Trace(deposit.at_ms, "accepted", deposit.source, 0, item.id)]
            owners = [self._boxes[mailbox].owner for mailbox in item.mailboxes]
            rows += [Trace(deposit.at_ms, "queued", owner, 0, item.id) for owner in owners]
            self._seen[item.id] = (item.created_ms, rows)
        placed = [
            self._place(mailbox, _envelopes(items)) for mailboxes, items in groups.items() for mailbox in mailboxes
        ]
        return Accepted(tuple(placed), len(deposit.items) - len(fresh))

    @verb
    def settle(self, settlement: Settlement) -> tuple[Placed, ...]:
        reports = [
            (mailbox, tuple(pack(outcome) for outcome in outcomes))
            for mailbox, outcomes in settlement.reports
            if outcomes
        ]
        # What leaves makes room for the news of it, or a full store could never be emptied.
        self._need_room(sum(len(item) for _, items in reports for item in items) - self._freed(settlement))
        for seq in settlement.done:
            self._boxes[settlement.mailbox].take(seq)
        for keep in settlement.keep:
            self._keep(settlement.mailbox, keep)
        self._traces += settlement.traces
        return tuple(self._place(mailbox, _outcomes(items, settlement.report_expires_ms)) for mailbox, items in reports)

    def _freed(self, settlement: Settlement) -> int:
        """Bytes that leave with it."""
        held = self._boxes[settlement.mailbox].entries if settlement.mailbox else {}
        freed = sum(held[seq].parcel.size for seq in set(settlement.done) if seq in held)
        for keep in settlement.keep:
            if keep.seq in held:
                parcel = held[keep.seq].parcel
                freed += parcel.size - sum(len(parcel.items[index]) for index in keep.indexes)
        return freed

    @verb
    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> tuple[Placed, ...]:
        due = [
            (seq, number)
            for number, box in self._boxes.items()
            for seq, entry in box.entries.items()
            if entry.due_ms and (number == mailbox if mailbox else entry.due_ms <= now_ms)
        ]
        placed = []
        for seq, number in sorted(due):
            entry = self._boxes[number].take(seq)
            if entry:
                placed.append(self._place(number, entry.parcel))
        return tuple(placed)

    async def next_due(self) -> WallMs:
        dues = (entry.due_ms for box in self._boxes.values() for entry in box.entries.values() if entry.due_ms)
        return min(dues, default=0)

    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
        waiting = [e.parcel for e in self._entries(mailbox) if e.parcel.seq > after and not e.due_ms]
        return _first(waiting, max_items, max_bytes)

    async def kept(self, mailbox: int, max_items: int) -> list[Parcel]:
        return _first([entry.parcel for entry in self._entries(mailbox) if entry.due_ms], max_items)

    async def expiring(self, now_ms: WallMs, max_items: int) -> list[Placed]:
        expired = {
            entry.parcel: number
            for number in self._boxes
            for entry in self._entries(number)
            if entry.parcel.expires_ms <= now_ms
        }
        parcels = sorted(expired, key=lambda parcel: (parcel.expires_ms, parcel.seq))
        return [Placed(expired[parcel], parcel) for parcel in _first(parcels, max_items)]

    async def trace(self, id_: bytes) -> list[Trace]:
        first = self._seen[id_][1] if id_ in self._seen else []
        return first + [row._replace(ids=id_) for row in self._traces if id_ in _split(row.ids)]

    @verb
    def prune(self, now_ms: WallMs) -> None:
        oldest = now_ms - EXPIRY_MAX_S * SECOND_MS - SEEN_EXTRA_MS
        self._seen = {id_: seen for id_, seen in self._seen.items() if seen[0] >= oldest}
        self._traces = [row for row in self._traces if row.at_ms >= now_ms - TRACE_LIFETIME_MS]
        self._prune_directory(now_ms)

    async def backup(self, target: Path) -> None:
        raise LocalError(Code.UNSUPPORTED, "a store in memory has no backup")

    async def tidy(self) -> None:
        """Nothing to give back."""

    async def close(self) -> None:
        """Nothing to release."""

    def _entries(self, mailbox: int) -> list[Entry]:
        entries = self._boxes[mailbox].entries if mailbox in self._boxes else {}
        return [entries[seq] for seq in sorted(entries)]

    def _place(self, mailbox: int, draft: Parcel) -> Placed:
        self._seq += 1
        parcel = replace(draft, seq=self._seq)
        self._boxes[mailbox].put(Entry(parcel))
        return Placed(mailbox, parcel)

    def _keep(self, mailbox: int, keep: Keep) -> None:
        box = self._boxes[mailbox]
        entry = box.take(keep.seq)
        if entry is None or not keep.indexes:
            return
        old = entry.parcel
        items = _pick(old.items, keep.indexes)
        parcel = replace(
            old,
            ids=_pick(old.ids, keep.indexes) if old.ids else (),
            items=items,
            size=sum(map(len, items)),
            expires_ms=keep.expires_ms or old.expires_ms,
            senders=_pick(old.senders, keep.indexes) if old.senders else (),
        )
        box.put(Entry(parcel, keep.due_ms))


def _envelopes(items: Sequence[Item]) -> Parcel:
    envelopes = tuple(item.envelope for item in items)
    return Parcel(
        0,
        ParcelKind.ENVELOPES,
        tuple(item.id for item in items),
        envelopes,
        sum(map(len, envelopes)),
        min(item.expires_ms for item in items),
        tuple(item.sender for item in items),
    )


def _outcomes(items: tuple[bytes, ...], expires_ms: WallMs) -> Parcel:
    return Parcel(0, ParcelKind.OUTCOMES, (), items, sum(map(len, items)), expires_ms)


def _first(parcels: Sequence[Parcel], max_items: int, max_bytes: int | None = None) -> list[Parcel]:
    """As many as the bounds allow, and one in any case."""
    taken: list[Parcel] = []
    items = size = 0
    for parcel in parcels:
        items += len(parcel.items)
        size += parcel.size
        if taken and (items > max_items or (max_bytes is not None and size > max_bytes)):
            break
        taken.append(parcel)
    return taken


def _pick(values: Sequence[T], indexes: Sequence[int]) -> tuple[T, ...]:
    return tuple(values[index] for index in indexes)


def _split(ids: bytes) -> list[bytes]:
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]
