"""What is not taken, or not now: each with its reason, and nothing else held up by it."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.relay.devices import another_device
from tests.relay.stranger import Stranger, envelope_from
from tests.relay.world import Device, VirtualClock, World, world

from waypost.crypto.keys import envelope_id
from waypost.errors import Code
from waypost.ids import Address, Provider
from waypost.limits import BODY_MAX_BYTES
from waypost.protocol.directory.asks import Claim
from waypost.protocol.directory.trust import PeerPolicy
from waypost.protocol.frames.messages import NoticeKind
from waypost.relay.settings import Quotas, Rates
from waypost.storage.memory.engine import MemoryStore

BIRDY, FINCH = "birdy.local", "finch.local"


async def pair(w: World) -> tuple[Device, Device]:
    await w.node(BIRDY)
    await w.node(FINCH)
    w.introduce(BIRDY, FINCH)
    return await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")


# ── from a device ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_device_is_told_why_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await trio.sleep(11)  # discovery has had its time
        now_ms = VirtualClock().wall_ms()
        refused = {
            alice.send("bob@nowhere.local"): Code.PROVIDER_UNKNOWN,
            alice.send("bob@finch.local", sender="carol@birdy.local"): Code.FORGED_SENDER,
            alice.send("bob@finch.local", sender="alice@finch.local"): Code.FORGED_SENDER,
            alice.send("bob@finch.local", created_ms=now_ms - 60_000, expires_s=60): Code.EXPIRED,
            alice.send("bob@finch.local", created_ms=now_ms + 301_000): Code.FROM_FUTURE,
            alice.send("nobody@birdy.local"): Code.NOT_FOUND,
        }
        [garbage] = alice.offer([b"\x93garbage"])
        await alice.until(lambda: len(alice.refused) == len(refused) + 1)
        assert alice.refused == {id_: code.number for id_, code in refused.items()} | {
            garbage: Code.MALFORMED_ENVELOPE.number
        }
        good = alice.send("bob@finch.local")
        await alice.until(lambda: good in alice.accepted)


async def test_just_started_an_unknown_provider_may_still_turn_up(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        id_ = alice.send("bob@finch.local")
        await alice.until(lambda: id_ in alice.refused)
        assert alice.refused[id_] == Code.UNREACHABLE.number


async def test_mail_to_a_blocked_provider_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        w.nodes[BIRDY].relay.peers.set_policy(Provider(FINCH), PeerPolicy.BLOCK)
        id_ = alice.send("bob@finch.local")
        await alice.until(lambda: id_ in alice.refused)
        assert alice.refused[id_] == Code.BLOCKED.number
        bob.send("alice@birdy.local")
        await trio.sleep(120)
        assert alice.inbox == []
        w.nodes[BIRDY].relay.peers.set_policy(Provider(FINCH), PeerPolicy.NONE)
        await alice.until(lambda: len(alice.inbox) == 1, seconds=3_600)


async def test_the_largest_body_travels(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        alice.send("bob@finch.local", bytes(BODY_MAX_BYTES - 4))
        await bob.until(lambda: len(bob.inbox) == 1)


# ── several recipients ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_several_recipients_the_missing_one_is_told_and_the_others_served(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(FINCH, "carol")
        id_ = alice.send("bob,nobody,carol@finch.local")
        await bob.until(lambda: bob.ids == [id_])
        await carol.until(lambda: carol.ids == [id_])
        await alice.until(lambda: len(alice.outcomes) == 3)
        assert {(outcome.recipient, outcome.code) for outcome in alice.outcomes} == {
            ("bob@finch.local", 0),
            ("carol@finch.local", 0),
            ("nobody@finch.local", Code.NOT_FOUND.number),
        }


async def test_news_of_the_missing_is_durable_before_the_receipt(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        id_ = alice.send("nobody,carol@birdy.local")
        await alice.until(lambda: id_ in alice.accepted)
        alice.disconnect()
        store = w.kill(BIRDY)
        await w.node(BIRDY, store=store)
        await alice.connect()
        await carol.connect()
        await alice.until(
            lambda: ("nobody@birdy.local", Code.NOT_FOUND.number) in {(o.recipient, o.code) for o in alice.outcomes}
        )


async def test_a_device_refusing_for_good_concerns_its_own_user_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(FINCH, "carol")
        bob.verdict = lambda _id: Code.MALFORMED_ENVELOPE.number
        alice.send("bob,carol@finch.local")
        await carol.until(lambda: len(carol.inbox) == 1)
        await alice.until(lambda: len(alice.outcomes) == 2)
        await trio.sleep(60)
        assert {(outcome.recipient, outcome.code) for outcome in alice.outcomes} == {
            ("bob@finch.local", Code.MALFORMED_ENVELOPE.number),
            ("carol@finch.local", 0),
        }


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_expires_in_an_outbox_bounces(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        w.introduce(BIRDY, FINCH)
        await trio.sleep(1)
        short = [alice.send("bob@finch.local", expires_s=120) for _ in range(3)]
        long = alice.send("bob@finch.local", expires_s=86_400)
        await alice.until(lambda: len(alice.outcomes) == 3, seconds=600)
        assert {(outcome.ids, outcome.code) for outcome in alice.outcomes} == {
            (id_, Code.EXPIRED.number) for id_ in short
        }
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await finch.until(lambda: bool(finch.offered))
        assert [id_ for offered in finch.offered for id_ in offered.ids] == [long]


async def test_what_expires_in_an_inbox_bounces_for_that_user(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(FINCH, "carol")
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        alice.send("bob,carol@finch.local", expires_s=120)
        await alice.until(lambda: len(alice.outcomes) == 2, seconds=600)
        assert {(outcome.recipient, outcome.code) for outcome in alice.outcomes} == {
            ("carol@finch.local", 0),
            ("bob@finch.local", Code.EXPIRED.number),
        }
        del carol


async def test_a_large_backlog_expires_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        w.introduce(BIRDY, FINCH)
        await trio.sleep(1)
        for number in range(1, 13):
            alice.send_many("bob@finch.local", [b""] * 500, expires_s=60)
            await alice.until(lambda number=number: len(alice.accepted) == 500 * number)  # type: ignore[misc]
        await alice.until(lambda: sum(len(o.ids) // 16 for o in alice.outcomes) == 6_000, seconds=100)


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_full_mailbox_holds_up_its_own_mail_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH, quotas=Quotas(mailbox_envelopes=5))
        w.introduce(BIRDY, FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        carol = await w.device(FINCH, "carol")
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        for number in range(10):
            alice.send("bob@finch.local", b"%d" % number)
            await alice.until(lambda number=number: len(alice.accepted) == number + 1)  # type: ignore[misc]
            await trio.sleep(1)
        alice.send("carol@finch.local")
        await carol.until(lambda: len(carol.inbox) == 1)
        await alice.until(
            lambda: any((n.kind, n.code) == (NoticeKind.WAITING, Code.MAILBOX_FULL.number) for n in alice.notices)
        )
        await bob.connect()
        await bob.until(lambda: len(bob.inbox) == 10, seconds=3_600)
        assert sorted(bob.bodies()) == [b"%d" % number for number in range(10)]


async def test_a_full_queue_is_refused_and_taken_up_again(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY, quotas=Quotas(outbox_envelopes=5))
        alice = await w.device(BIRDY, "alice")
        w.introduce(BIRDY, FINCH)
        await trio.sleep(1)
        alice.send_many("bob@finch.local", [b""] * 5)
        await alice.until(lambda: len(alice.accepted) == 5)
        id_ = alice.send("bob@finch.local")
        await alice.until(lambda: alice.refused.get(id_) == Code.QUEUE_FULL.number)
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await finch.until(lambda: sum(len(offered.ids) for offered in finch.offered) == 5)
        await trio.sleep(1)
        again = alice.send("bob@finch.local")
        await alice.until(lambda: again in alice.accepted)


async def test_an_account_over_its_rate_is_told_to_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY, rates=Rates(10, 20, 0, 1))
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        alice.send_many("carol@birdy.local", [b""] * 50)
        await alice.until(lambda: len(alice.accepted) + len(alice.refused) == 50)
        assert len(alice.accepted) == 20
        assert set(alice.refused.values()) == {Code.RATE_LIMITED.number}
        carol.send("alice@birdy.local")
        await alice.until(lambda: len(alice.inbox) == 1)
        await trio.sleep(3)
        alice.send_many("carol@birdy.local", [b""] * 20)
        await carol.until(lambda: len(carol.inbox) == 40)


async def test_a_peer_over_its_rate_is_slowed_and_all_arrives(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH, rates=Rates(0, 1, 50, 100))
        w.introduce(BIRDY, FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        ids = alice.send_many("bob@finch.local", [b"%d" % number for number in range(400)])
        started = trio.current_time()
        await bob.until(lambda: len(bob.ids) == 400, seconds=120)
        assert bob.ids == ids
        assert trio.current_time() - started >= 5


async def test_a_full_store_refuses_for_now_and_recovers(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        store = MemoryStore(max_bytes=20_000)
        await w.node(BIRDY)
        await w.node(FINCH, store=store)
        w.introduce(BIRDY, FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        for _ in range(10):
            last = alice.send("bob@finch.local", bytes(5_000))
            await trio.sleep(1)
        track = await w.nodes[BIRDY].relay.tracks.find(last)
        assert (track.state, track.code) == ("waiting", Code.STORE_FULL.number)
        assert track.next_try_ms > w.nodes[BIRDY].clock.wall_ms()
        relay = w.nodes[FINCH].relay
        [mailbox] = relay.accounts.device_mailboxes(Address.of("bob@finch.local"))
        assert relay.usages.of(mailbox).items == 3
        await bob.connect()
        await bob.until(lambda: len(bob.inbox) == 10, seconds=600)


async def test_a_device_meets_a_full_store_with_a_numbered_refusal(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        store = MemoryStore(max_bytes=10_000)
        await w.node(BIRDY, store=store)
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        carol.disconnect()
        await carol.until(lambda: carol.closed is not None)
        ids = [alice.send("carol@birdy.local", bytes(4_000)) for _ in range(3)]
        await alice.until(lambda: len(alice.accepted) + len(alice.refused) == 3)
        assert alice.refused == {ids[2]: Code.STORE_FULL.number}
        several = alice.send("carol,nobody@birdy.local", bytes(4_000))
        await alice.until(lambda: several in alice.refused)
        assert alice.refused[several] == Code.STORE_FULL.number
        await carol.connect()
        await carol.until(lambda: len(carol.inbox) == 2)
        again = alice.send("carol@birdy.local", bytes(4_000))
        await alice.until(lambda: again in alice.accepted)


async def test_the_operator_is_told_once_that_the_store_is_full_and_once_that_it_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        node = await w.node(BIRDY, store=MemoryStore(max_bytes=10_000))
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        carol.disconnect()
        await carol.until(lambda: carol.closed is not None)

        def told() -> list[tuple[str, str]]:
            return [(line["level"], line["event"]) for line in node.logs if line["event"].startswith("storage")]

        async def send(size: int) -> bool:
            sent = alice.send("carol@birdy.local", bytes(size))
            await alice.until(lambda: sent in alice.accepted or sent in alice.refused)
            return sent in alice.accepted

        begun = [("warning", "storage is full: new messages are refused for now")]
        assert [await send(4_000) for _ in range(5)] == [True, True, False, False, False]
        assert told() == begun
        assert await send(10)  # what is small still fits
        assert not await send(4_000)
        assert told() == begun
        await carol.connect()
        await carol.until(lambda: len(carol.inbox) == 3)
        await trio.sleep(60)
        assert await send(4_000)
        over = [*begun, ("info", "storage has room again")]
        assert told() == over
        assert next(line for line in node.logs if line["event"] == "storage has room again")["refused"] == 4
        assert await send(10)
        assert told() == over


async def test_a_store_full_to_the_brim_can_be_emptied(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        store = MemoryStore()
        await w.node(BIRDY, store=store)
        alice, carol = await w.device(BIRDY, "alice"), await w.device(BIRDY, "carol")
        carol.disconnect()
        await carol.until(lambda: carol.closed is not None)
        alice.send("carol@birdy.local", bytes(1_000))
        await alice.until(lambda: len(alice.accepted) == 1)
        store.state.max_bytes = store.state.held_bytes
        await carol.connect()
        await alice.until(lambda: len(alice.outcomes) == 1)


# ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_mail_for_a_removed_account_bounces(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        second = await another_device(w, bob)
        for device in (bob, second):
            device.disconnect()
            await device.until(lambda device=device: device.closed is not None)  # type: ignore[misc]
        ids = alice.send_many("bob@finch.local", [b"one", b"two"])
        await alice.until(lambda: len([n for n in alice.notices if n.kind == NoticeKind.HELD]) > 0)
        await w.nodes[FINCH].relay.remove_user("bob")
        await alice.until(lambda: b"".join(o.ids for o in alice.outcomes).count(ids[1]) > 0)
        assert {(o.recipient, o.code) for o in alice.outcomes} == {("bob@finch.local", Code.ACCOUNT_REMOVED.number)}
        late = alice.send("bob@finch.local")
        await alice.until(lambda: any(o.ids == late for o in alice.outcomes))
        assert alice.outcomes[-1].code == Code.NOT_FOUND.number


async def test_a_removed_user_is_disconnected_and_not_let_in_again(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.nodes[BIRDY].relay.remove_user("alice")
        await alice.until(lambda: alice.closed is not None)
        assert alice.closed is not None
        assert alice.closed.code == Code.UNKNOWN_DEVICE.number
        await alice.connect()
        alice.send("bob@finch.local")
        await alice.until(lambda: alice.closed is not None)
        assert alice.closed.code == Code.UNKNOWN_DEVICE.number


# ── from a peer ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_peer_sends_for_its_own_users_to_ours_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        now_ms = VirtualClock().wall_ms()
        envelopes = {
            envelope_from("carol@heron.local", "bob@finch.local"): Code.FORGED_SENDER,
            envelope_from("eve@birdy.local.evil.local", "bob@finch.local"): Code.FORGED_SENDER,
            envelope_from("bob@finch.local", "bob@finch.local"): Code.FORGED_SENDER,
            envelope_from("alice@birdy.local", "carol@heron.local"): Code.NOT_OURS,
            envelope_from("alice@birdy.local", "alice@birdy.local"): Code.NOT_OURS,
            envelope_from("alice@birdy.local", "bob@finch.local", created_ms=now_ms - 9_000, expires_s=9): Code.EXPIRED,
            envelope_from("alice@birdy.local", "bob@finch.local", created_ms=now_ms + 301_000): Code.FROM_FUTURE,
            envelope_from("alice@birdy.local", "nobody@finch.local"): Code.NOT_FOUND,
            b"\xc1": Code.MALFORMED_ENVELOPE,
            bytes(BODY_MAX_BYTES + 8_000): Code.MALFORMED_ENVELOPE,
        }
        good = envelope_from("alice@birdy.local", "bob@finch.local")
        birdy.offer(*envelopes, good)
        await birdy.until(lambda: bool(birdy.settled))
        assert birdy.codes() == {envelope_id(data): code.number for data, code in envelopes.items()}
        await bob.until(lambda: bob.ids == [envelope_id(good)])
        await birdy.until(lambda: bool(birdy.reported))


@pytest.mark.parametrize("times", [2, 5])
async def test_the_same_envelope_is_shown_once(autojump_clock: trio.testing.MockClock, times: int) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        shown: list[bytes] = []

        def take(id_: bytes) -> int:
            shown.append(id_)
            return 0

        bob.verdict = take
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        envelope = envelope_from("alice@birdy.local", "bob@finch.local")
        for _ in range(times):
            birdy.offer(envelope, envelope)
        await birdy.until(lambda: len(birdy.settled) == times)
        assert birdy.codes() == {}
        await trio.sleep(10)
        assert shown == [envelope_id(envelope)]


async def test_who_may_not_claim_is_told_the_same_as_for_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        answer = await birdy.ask(Claim(bytes(16), "x@heron.local", ("x-test",)))
        assert answer.code == Code.NOT_FOUND.number
