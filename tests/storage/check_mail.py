"""Operations on mail, as every Store must keep them."""

from collections.abc import Awaitable, Callable

from tests.storage.samples import (
    BIRDY,
    MANY,
    NOW,
    bare,
    check_usage,
    contents,
    deposit,
    held_back,
    inbox,
    item,
    outcome,
    waiting,
)

from waypost.clock import DAY_MS, HOUR_MS
from waypost.limits import EXPIRY_MAX_S, SEEN_EXTRA_MS, TRACE_LIFETIME_MS
from waypost.protocol.custody.fate import Event
from waypost.protocol.custody.transfer import Outcome
from waypost.protocol.frames.codec import read
from waypost.storage.caches import usages_of
from waypost.storage.operations.mail import (
    Expiring,
    Fetch,
    Keep,
    Kept,
    NextDue,
    ParcelKind,
    Prune,
    Requeue,
    Settle,
    Trace,
    TraceOf,
)
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind, OpenMailbox, Usage
from waypost.storage.store import Store


async def a_new_store_is_empty(store: Store) -> None:
    assert await store.read(AllMailboxes()) == []
    assert (await usages_of(store)).of(1) == Usage(0, 0)
    assert await store.read(Fetch(1, 0, MANY, MANY)) == []
    assert await store.read(Kept(1, MANY)) == []
    assert await store.read(Expiring(NOW, MANY)) == []
    assert await store.read(TraceOf(bytes(16))) == []
    assert await store.submit(Requeue(NOW)) == ()


async def a_mailbox_is_opened_once(store: Store) -> None:
    bob = await store.submit(OpenMailbox(MailboxKind.DEVICE, "x"))
    peer = await store.submit(OpenMailbox(MailboxKind.PEER, "x"))
    assert await store.submit(OpenMailbox(MailboxKind.DEVICE, "x")) == bob > 0
    assert peer not in {bob, 0}
    assert [(m.id, m.kind, m.owner) for m in await store.read(AllMailboxes())] == [
        (bob, MailboxKind.DEVICE, "x"),
        (peer, MailboxKind.PEER, "x"),
    ]


async def a_deposit_becomes_one_parcel(store: Store) -> None:
    bob = await inbox(store)
    items = [item(1, bob, expires_s=60), item(2, bob, expires_s=30), item(3, bob, expires_s=90)]
    accepted = await store.submit(deposit(*items))
    assert accepted.duplicates == 0
    [(mailbox, parcel)] = accepted.placed
    assert mailbox == bob
    assert parcel.kind is ParcelKind.ENVELOPES
    assert parcel.ids == tuple(one.id for one in items)
    assert parcel.items == tuple(bare(*items))
    assert parcel.expires_ms == NOW + 30_000
    assert parcel.senders == tuple(one.sender for one in items)
    [fetched] = await store.read(Fetch(bob, 0, MANY, MANY))
    assert (fetched.seq, fetched.kind, fetched.ids, fetched.items) == (
        parcel.seq,
        parcel.kind,
        parcel.ids,
        parcel.items,
    )
    assert (fetched.size, fetched.expires_ms) == (parcel.size, parcel.expires_ms)
    await check_usage(store)


async def operations_take_effect_in_the_order_of_submission(store: Store) -> None:
    bob = await inbox(store)
    items = [item(number, bob) for number in range(20)]
    pending = [store.submit(deposit(one)) for one in items]
    again = [store.submit(deposit(one)) for one in items]
    assert [(await one).duplicates for one in reversed(again)] == [1] * 20
    seqs = [(await one).placed[0].parcel.seq for one in pending]
    assert seqs == sorted(set(seqs))
    assert await waiting(store, bob) == bare(*items)


async def a_result_can_be_awaited_twice(store: Store) -> None:
    bob = await inbox(store)
    pending = store.submit(deposit(item(1, bob)))
    assert await pending == await pending


async def duplicates_are_not_stored_again(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    one, two = item(1, bob), item(2, bob)
    assert (await store.submit(deposit(one, one, two, one))).duplicates == 2
    later = await store.submit(deposit(two, item(1, carol), item(3, bob), source="other.example"))
    assert later.duplicates == 2
    assert await waiting(store, bob) == bare(one, two, item(3))
    assert await waiting(store, carol) == []
    nothing = await store.submit(deposit(one))
    assert (nothing.placed, nothing.duplicates) == ((), 1)
    await check_usage(store)


async def an_id_outlives_its_delivery(store: Store) -> None:
    bob = await inbox(store)
    one = item(1, bob)
    [(_, parcel)] = (await store.submit(deposit(one))).placed
    await store.submit(Settle(bob, [parcel.seq]))
    assert (await store.submit(deposit(one))).duplicates == 1
    assert await waiting(store, bob) == []


async def ids_of_any_age_are_found(store: Store) -> None:
    bob = await inbox(store)
    spread = [item(number, bob, created_ms=NOW - number * HOUR_MS) for number in range(50)]
    await store.submit(deposit(*spread[::2]))
    assert (await store.submit(deposit(*reversed(spread)))).duplicates == 25
    assert (await store.submit(deposit(*spread))).duplicates == 50


async def groups_are_by_mailboxes(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    one, both, two, shared = item(1, bob), item(2, bob, carol), item(3, bob), item(4, bob, carol)
    placed = (await store.submit(deposit(one, both, two, shared))).placed
    assert [(mailbox, list(parcel.items)) for mailbox, parcel in placed] == [
        (bob, bare(one, two)),
        (bob, bare(both, shared)),
        (carol, bare(both, shared)),
    ]
    assert await waiting(store, bob) == bare(one, two, both, shared)
    assert await waiting(store, carol) == bare(both, shared)
    await check_usage(store)


async def settling_one_mailbox_leaves_the_others(store: Store) -> None:
    bob, carol, dave = [await inbox(store, number) for number in (1, 2, 3)]
    placed = (await store.submit(deposit(item(1, bob, carol, dave), item(2, bob, carol, dave)))).placed
    seqs = {mailbox: parcel.seq for mailbox, parcel in placed}
    await store.submit(Settle(bob, [seqs[bob]]))
    await store.submit(Settle(carol, [], [Keep(seqs[carol], (1,), NOW + 5)]))
    assert await waiting(store, bob) == []
    assert await waiting(store, carol) == []
    assert await held_back(store, carol) == bare(item(2))
    assert await waiting(store, dave) == bare(item(1), item(2))
    await check_usage(store)
    await store.submit(Settle(carol, [seqs[carol]]))
    await store.submit(Settle(dave, [seqs[dave]]))
    usages = await usages_of(store)
    assert [usages.of(mailbox) for mailbox in (bob, carol, dave)] == [Usage(0, 0)] * 3


async def a_seq_that_is_gone_is_passed_over(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    [(_, first)] = (await store.submit(deposit(item(1, bob)))).placed
    [(_, second)] = (await store.submit(deposit(item(2, bob)))).placed
    keep = Keep(first.seq, (0,), NOW)
    for _ in range(2):
        assert await store.submit(Settle(bob, [first.seq, first.seq, 999])) == ()
        await store.submit(Settle(bob, [], [keep]))
    await store.submit(Settle(carol, [second.seq]))
    assert await waiting(store, bob) == bare(item(2))
    assert await held_back(store, bob) == []
    await check_usage(store)


async def what_is_kept_waits_and_returns_at_the_end(store: Store) -> None:
    bob = await inbox(store)
    items = [item(number, bob) for number in range(5)]
    [(_, first)] = (await store.submit(deposit(*items[:3]))).placed
    [(_, second)] = (await store.submit(deposit(*items[3:]))).placed
    assert await store.read(NextDue()) == 0
    await store.submit(Settle(bob, [], [Keep(first.seq, (0, 2), NOW + 10)]))
    assert await store.read(NextDue()) == NOW + 10
    assert await waiting(store, bob) == bare(*items[3:])
    assert await held_back(store, bob) == bare(items[0], items[2])
    await check_usage(store)
    assert await store.submit(Requeue(NOW + 9)) == ()
    [(mailbox, parcel)] = await store.submit(Requeue(NOW + 10))
    assert mailbox == bob
    assert parcel.seq > second.seq
    assert list(parcel.items) == bare(items[0], items[2])
    assert parcel.ids == (items[0].id, items[2].id)
    assert await waiting(store, bob) == bare(*items[3:], items[0], items[2])
    assert await held_back(store, bob) == []
    assert await store.read(NextDue()) == 0
    # A second partial refusal counts from what was left by the first.
    await store.submit(Settle(bob, [second.seq], [Keep(parcel.seq, (1,), NOW + 20)]))
    assert await held_back(store, bob) == bare(items[2])
    await check_usage(store)
    assert contents([placed.parcel for placed in await store.submit(Requeue(NOW + 20))]) == bare(items[2])
    assert await waiting(store, bob) == bare(items[2])


async def a_keep_of_nothing_is_done(store: Store) -> None:
    bob = await inbox(store)
    [(_, parcel)] = (await store.submit(deposit(item(1, bob)))).placed
    await store.submit(Settle(bob, [], [Keep(parcel.seq, (), NOW + 10)]))
    assert await waiting(store, bob) == await held_back(store, bob) == []
    await check_usage(store)


async def a_keep_without_a_time_stays_in_its_place(store: Store) -> None:
    bob = await inbox(store)
    [(_, first)] = (await store.submit(deposit(item(1, bob), item(2, bob)))).placed
    await store.submit(deposit(item(3, bob)))
    await store.submit(Settle(bob, [], [Keep(first.seq, (1,), 0)]))
    assert await waiting(store, bob) == bare(item(2), item(3))
    await check_usage(store)


async def requeue_is_for_one_mailbox_or_for_what_is_due(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    for number, mailbox, due_ms in [(1, bob, 10), (2, carol, 20), (3, bob, 30), (4, carol, 40)]:
        [(_, parcel)] = (await store.submit(deposit(item(number, mailbox)))).placed
        await store.submit(Settle(mailbox, [], [Keep(parcel.seq, (0,), NOW + due_ms)]))
    placed = await store.submit(Requeue(NOW + 20))
    assert [mailbox for mailbox, _ in placed] == [bob, carol]
    assert await waiting(store, bob) == bare(item(1))
    placed = await store.submit(Requeue(NOW, carol))
    assert [mailbox for mailbox, _ in placed] == [carol]
    assert await waiting(store, carol) == bare(item(2), item(4))
    assert await held_back(store, bob) == bare(item(3))
    await check_usage(store)


async def fetch_stops_at_its_bounds(store: Store) -> None:
    bob = await inbox(store)
    for start in (0, 2, 4):
        await store.submit(deposit(item(start, bob), item(start + 1, bob)))
    parcels = await store.read(Fetch(bob, 0, MANY, MANY))
    size = parcels[0].size
    assert await store.read(Fetch(bob, 0, 1, 1)) == parcels[:1]
    assert await store.read(Fetch(bob, 0, 0, 0)) == parcels[:1]
    assert await store.read(Fetch(bob, 0, 3, MANY)) == parcels[:1]
    assert await store.read(Fetch(bob, 0, 4, MANY)) == parcels[:2]
    assert await store.read(Fetch(bob, 0, MANY, 2 * size)) == parcels[:2]
    assert await store.read(Fetch(bob, 0, MANY, 2 * size - 1)) == parcels[:1]
    assert await store.read(Fetch(bob, parcels[0].seq, MANY, MANY)) == parcels[1:]
    assert await store.read(Fetch(bob, parcels[2].seq, MANY, MANY)) == []


async def other_reads_stop_at_their_bounds(store: Store) -> None:
    bob = await inbox(store)
    for start in (0, 2, 4):
        await store.submit(deposit(item(start, bob), item(start + 1, bob)))
    parcels = await store.read(Fetch(bob, 0, MANY, MANY))
    await store.submit(Settle(bob, [], [Keep(parcel.seq, (0, 1), NOW + 1) for parcel in parcels]))
    for bound, count in [(1, 1), (3, 1), (4, 2), (6, 3)]:
        assert len(await store.read(Kept(bob, bound))) == count
        assert len(await store.read(Expiring(NOW + DAY_MS, bound))) == count


async def expiring_is_earliest_first_and_ends(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    await store.submit(deposit(item(1, bob, expires_s=30), item(2, bob, expires_s=10)))
    await store.submit(deposit(item(3, carol, expires_s=20)))
    await store.submit(deposit(item(4, carol, expires_s=99)))
    assert await store.read(Expiring(NOW + 9_999, MANY)) == []
    first, second = await store.read(Expiring(NOW + 20_000, MANY))
    assert (first.mailbox, list(first.parcel.items)) == (bob, bare(item(1, expires_s=30), item(2, expires_s=10)))
    assert (second.mailbox, list(second.parcel.items)) == (carol, bare(item(3, expires_s=20)))
    assert await store.read(Expiring(NOW + 20_000, 1)) == [first]
    # What has not expired yet stays, and what has gone is not reported again.
    await store.submit(Settle(bob, [], [Keep(first.parcel.seq, (0,), 0, NOW + 30_000)]))
    await store.submit(Settle(carol, [second.parcel.seq]))
    assert await store.read(Expiring(NOW + 29_999, MANY)) == []
    [last] = await store.read(Expiring(NOW + 30_000, MANY))
    assert list(last.parcel.items) == bare(item(1, expires_s=30))
    await check_usage(store)


async def kept_parcels_expire_too(store: Store) -> None:
    bob = await inbox(store)
    [(_, parcel)] = (await store.submit(deposit(item(1, bob, expires_s=10)))).placed
    await store.submit(Settle(bob, [], [Keep(parcel.seq, (0,), NOW + DAY_MS)]))
    [expired] = await store.read(Expiring(NOW + 10_000, MANY))
    assert expired.parcel.seq == parcel.seq


async def a_trace_tells_the_steps(store: Store) -> None:
    bob = await inbox(store)
    one, two = item(1, bob), item(2, bob)
    await store.submit(deposit(one, two))
    await store.submit(deposit(one, at_ms=NOW + 5, source="other.example"))
    both = Trace(NOW + 10, Event.DEFERRED, "finch.example", 204, one.id + two.id)
    await store.submit(Settle(traces=[both]))
    await store.submit(Settle(traces=[Trace(NOW + 20, Event.DELIVERED, "bob@finch.example", 0, two.id)]))
    owner = next(info.owner for info in await store.read(AllMailboxes()) if info.id == bob)
    assert await store.read(TraceOf(one.id)) == [
        Trace(NOW, Event.ACCEPTED, BIRDY, 0, one.id),
        Trace(NOW, Event.QUEUED, owner, 0, one.id),
        Trace(NOW + 10, Event.DEFERRED, "finch.example", 204, one.id),
    ]
    assert [row.event for row in await store.read(TraceOf(two.id))] == ["accepted", "queued", "deferred", "delivered"]
    # Sixteen bytes across two ids are no id.
    assert await store.read(TraceOf((one.id + two.id)[8:24])) == []
    assert await store.read(TraceOf(item(3).id)) == []


async def reports_become_parcels(store: Store) -> None:
    bob, birdy = await inbox(store), await store.submit(OpenMailbox(MailboxKind.PEER, BIRDY))
    one, two = item(1, bob), item(2, bob)
    [(_, parcel)] = (await store.submit(deposit(one, two))).placed
    news = [outcome(one), outcome(two, code=301)]
    settlement = Settle(bob, [parcel.seq], reports=[(birdy, news), (bob, news[:1])], report_expires_ms=NOW + 7)
    placed = await store.submit(settlement)
    assert [mailbox for mailbox, _ in placed] == [birdy, bob]
    report = placed[0].parcel
    assert (report.kind, report.ids, report.expires_ms) == (ParcelKind.OUTCOMES, (), NOW + 7)
    assert [read(data, Outcome) for data in report.items] == news
    assert report.size == sum(map(len, report.items))
    assert await store.read(Fetch(birdy, 0, MANY, MANY)) == [report]
    await check_usage(store)
    # Outcomes are in custody like envelopes.
    await store.submit(Settle(birdy, [], [Keep(report.seq, (1,), NOW + 3)]))
    assert [read(data, Outcome) for data in await held_back(store, birdy)] == news[1:]
    assert [expired.mailbox for expired in await store.read(Expiring(NOW + 7, MANY))] == [birdy, bob]
    assert (await store.submit(Requeue(NOW + 3)))[0].parcel.kind is ParcelKind.OUTCOMES
    await check_usage(store)


async def a_report_of_nothing_is_no_parcel(store: Store) -> None:
    bob = await inbox(store)
    assert await store.submit(Settle(reports=[(bob, [])], report_expires_ms=NOW + 7)) == ()
    assert (await usages_of(store)).of(bob) == Usage(0, 0)


async def an_item_for_nobody_is_only_remembered(store: Store) -> None:
    one = item(1)
    accepted = await store.submit(deposit(one))
    assert (accepted.placed, accepted.duplicates) == ((), 0)
    assert (await store.submit(deposit(one))).duplicates == 1
    assert [row.event for row in await store.read(TraceOf(one.id))] == ["accepted"]


async def prune_forgets_what_cannot_matter(store: Store) -> None:
    bob = await inbox(store)
    one, two = item(1, bob), item(2, bob, created_ms=NOW + DAY_MS)
    await store.submit(deposit(one, two))
    lifetime = EXPIRY_MAX_S * 1_000 + SEEN_EXTRA_MS
    await store.submit(Settle(traces=[Trace(NOW, Event.HELD, BIRDY, 0, one.id + two.id)]))
    await store.submit(Settle(traces=[Trace(NOW + DAY_MS, Event.DELIVERED, BIRDY, 0, one.id + two.id)]))
    await store.submit(Prune(NOW + min(lifetime, TRACE_LIFETIME_MS) - HOUR_MS))
    assert (await store.submit(deposit(one))).duplicates == 1
    assert len(await store.read(TraceOf(one.id))) == 4
    await store.submit(Prune(NOW + max(lifetime, TRACE_LIFETIME_MS) + HOUR_MS))
    assert [row.event for row in await store.read(TraceOf(one.id))] == ["delivered"]
    assert [row.event for row in await store.read(TraceOf(two.id))] == ["accepted", "queued", "delivered"]
    # `one` cannot come again: it has expired long ago. `two` must still be known.
    assert (await store.submit(deposit(two))).duplicates == 1


CHECKS: list[Callable[[Store], Awaitable[None]]] = [
    a_new_store_is_empty,
    a_mailbox_is_opened_once,
    a_deposit_becomes_one_parcel,
    operations_take_effect_in_the_order_of_submission,
    a_result_can_be_awaited_twice,
    duplicates_are_not_stored_again,
    an_id_outlives_its_delivery,
    ids_of_any_age_are_found,
    groups_are_by_mailboxes,
    settling_one_mailbox_leaves_the_others,
    a_seq_that_is_gone_is_passed_over,
    what_is_kept_waits_and_returns_at_the_end,
    a_keep_of_nothing_is_done,
    a_keep_without_a_time_stays_in_its_place,
    requeue_is_for_one_mailbox_or_for_what_is_due,
    fetch_stops_at_its_bounds,
    other_reads_stop_at_their_bounds,
    expiring_is_earliest_first_and_ends,
    kept_parcels_expire_too,
    a_trace_tells_the_steps,
    reports_become_parcels,
    a_report_of_nothing_is_no_parcel,
    an_item_for_nobody_is_only_remembered,
    prune_forgets_what_cannot_matter,
]
