"""Operations on mail, and questions about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, assert_never

from msgspec.structs import replace

from waypost.clock import SECOND_MS, WallMs
from waypost.limits import EXPIRY_MAX_S, SEEN_EXTRA_MS, TRACE_LIFETIME_MS
from waypost.protocol.custody.fate import Event
from waypost.protocol.frames.codec import ID_BYTES, pack
from waypost.storage.memory import keys
from waypost.storage.memory.state import HeldParcel, Mailbox, MemoryState
from waypost.storage.operations import mail as ops
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mail import Item, KeptBack, Left, Parcel, ParcelKind, Placed, Settle, Trace
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxInfo, OpenMailbox, TellUsage, UsageTold

T = TypeVar("T")


def write(state: MemoryState, operation: ops.MailOperation, changes: list[Change]) -> Any:
    """Its answer; `changes` grows by what it has changed."""
    match operation:
        case ops.Accept():
            return accept(state, operation, changes)
        case ops.Settle():
            return _settle(state, operation, changes)
        case ops.Requeue(now_ms, mailbox):
            return _requeue(state, now_ms, mailbox, changes)
        case OpenMailbox(kind, owner):
            return state.open_mailbox(kind, owner)
        case ops.Prune(now_ms):
            _prune(state, now_ms)
            keys.prune(state, now_ms)
        case TellUsage():
            changes.append(UsageTold({number: box.usage for number, box in state.boxes.items() if box.items}))
        case _:
            assert_never(operation)
    return None


def answer(state: MemoryState, question: ops.MailQuestion) -> Any:
    """See the question."""
    match question:
        case ops.Fetch(mailbox, after, max_items, max_bytes):
            waiting = [e.parcel for e in _entries(state, mailbox) if e.parcel.seq > after and not e.due_ms]
            return _first(waiting, max_items, max_bytes)
        case ops.Kept(mailbox, max_items):
            return _first([entry.parcel for entry in _entries(state, mailbox) if entry.due_ms], max_items)
        case ops.Expiring(now_ms, max_items):
            return _expiring(state, now_ms, max_items)
        case ops.TraceOf(id_):
            first = state.seen[id_][1] if id_ in state.seen else []
            return first + [row._replace(ids=id_) for row in state.traces if id_ in _split(row.ids)]
        case ops.NextDue():
            dues = (entry.due_ms for box in state.boxes.values() for entry in box.entries.values() if entry.due_ms)
            return min(dues, default=0)
        case AllMailboxes():
            return [
                MailboxInfo(number, box.kind, box.owner, box.usage, box.oldest_ms)
                for number, box in state.boxes.items()
            ]
        case _:
            assert_never(question)


def accept(state: MemoryState, deposit: ops.Accept, changes: list[Change]) -> ops.Accepted:
    """`Accept`."""
    fresh: dict[bytes, Item] = {}
    for item in deposit.items:
        if item.id not in state.seen:
            fresh.setdefault(item.id, item)
    groups: dict[tuple[int, ...], list[Item]] = {}
    for item in fresh.values():
        groups.setdefault(item.mailboxes, []).append(item)
    state.need_room(sum(len(item.envelope) * len(item.mailboxes) for item in fresh.values()))
    for item in fresh.values():
        rows = [Trace(deposit.at_ms, Event.ACCEPTED, deposit.source, 0, item.id)]
        owners = [state.boxes[mailbox].owner for mailbox in item.mailboxes]
        rows += [Trace(deposit.at_ms, Event.QUEUED, owner, 0, item.id) for owner in owners]
        state.seen[item.id] = (item.created_ms, rows)
    placed = [_place(state, mailbox, _envelopes(items)) for mailboxes, items in groups.items() for mailbox in mailboxes]
    changes += placed
    return ops.Accepted(tuple(placed), len(deposit.items) - len(fresh))


def _settle(state: MemoryState, settlement: Settle, changes: list[Change]) -> tuple[Placed, ...]:
    reports = [
        (mailbox, tuple(pack(outcome) for outcome in outcomes)) for mailbox, outcomes in settlement.reports if outcomes
    ]
    # What leaves makes room for the news of it, or a full store could never be emptied.
    state.need_room(sum(len(item) for _, items in reports for item in items) - _freed(state, settlement))
    _clear(state, settlement, changes)
    state.traces += settlement.traces
    placed = [_place(state, mailbox, _outcomes(items, settlement.report_expires_ms)) for mailbox, items in reports]
    changes += placed
    return tuple(placed)


def _freed(state: MemoryState, settlement: Settle) -> int:
    """Bytes that leave with it."""
    held = state.boxes[settlement.mailbox].entries if settlement.mailbox else {}
    freed = sum(held[seq].parcel.size for seq in set(settlement.done) if seq in held)
    for keep in settlement.keep:
        if keep.seq in held:
            parcel = held[keep.seq].parcel
            freed += parcel.size - sum(len(parcel.items[index]) for index in keep.indexes)
    return freed


def _clear(state: MemoryState, settlement: Settle, changes: list[Change]) -> None:
    """Take what is done with from its mailbox, and put aside what is kept for later."""
    if not settlement.mailbox:
        return
    box = state.boxes[settlement.mailbox]
    before = box.usage
    for seq in settlement.done:
        box.take(seq)
    changes += [KeptBack(settlement.mailbox, keep.due_ms) for keep in settlement.keep if _keep(box, keep)]
    after = box.usage
    if after != before:
        changes.append(Left(settlement.mailbox, before.items - after.items, before.bytes - after.bytes))


def _keep(box: Mailbox, keep: ops.Keep) -> bool:
    """Whether something waits for its time now."""
    entry = box.take(keep.seq)
    if entry is None or not keep.indexes:
        return False
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
    box.put(HeldParcel(parcel, keep.due_ms))
    return keep.due_ms > 0


def _requeue(state: MemoryState, now_ms: WallMs, mailbox: int, changes: list[Change]) -> tuple[Placed, ...]:
    due = [
        (seq, number)
        for number, box in state.boxes.items()
        for seq, entry in box.entries.items()
        if entry.due_ms and (number == mailbox if mailbox else entry.due_ms <= now_ms)
    ]
    placed = []
    for seq, number in sorted(due):
        entry = state.boxes[number].take(seq)
        if entry:
            placed.append(_place(state, number, entry.parcel))
            changes += (Left(number, len(entry.parcel.items), entry.parcel.size), placed[-1])
    return tuple(placed)


def _expiring(state: MemoryState, now_ms: WallMs, max_items: int) -> list[Placed]:
    expired = {
        entry.parcel: number
        for number in state.boxes
        for entry in _entries(state, number)
        if entry.parcel.expires_ms <= now_ms
    }
    parcels = sorted(expired, key=lambda parcel: (parcel.expires_ms, parcel.seq))
    return [Placed(expired[parcel], parcel) for parcel in _first(parcels, max_items)]


def _prune(state: MemoryState, now_ms: WallMs) -> None:
    oldest = now_ms - EXPIRY_MAX_S * SECOND_MS - SEEN_EXTRA_MS
    state.seen = {id_: seen for id_, seen in state.seen.items() if seen[0] >= oldest}
    state.traces = [row for row in state.traces if row.at_ms >= now_ms - TRACE_LIFETIME_MS]


def _entries(state: MemoryState, mailbox: int) -> list[HeldParcel]:
    entries = state.boxes[mailbox].entries if mailbox in state.boxes else {}
    return [entries[seq] for seq in sorted(entries)]


def _place(state: MemoryState, mailbox: int, draft: Parcel) -> Placed:
    state.seq += 1
    parcel = replace(draft, seq=state.seq)
    state.boxes[mailbox].put(HeldParcel(parcel))
    return Placed(mailbox, parcel)


def _envelopes(items: Sequence[Item]) -> Parcel:
    ids, envelopes, _, senders, _, expire_ms = zip(*items, strict=True)
    return Parcel(0, ParcelKind.ENVELOPES, ids, envelopes, sum(map(len, envelopes)), min(expire_ms), senders)


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
