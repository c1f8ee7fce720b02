"""How nodes come to know each other, whom they admit, and how they part."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.relay.stranger import Stranger, record_of
from tests.relay.world import Device, VirtualClock, World, key_of, world

from waypost.clock import DAY_MS
from waypost.crypto.keys import Purpose
from waypost.discovery.source import Endpoint, Sighting
from waypost.errors import Code, PeerFault, Refused
from waypost.ids import Provider
from waypost.limits import HEARD_OF_MAX, RECORDS_PER_MESSAGE_MAX
from waypost.protocol.directory.asks import Records, RecordsReply
from waypost.protocol.directory.record import RecordEndpoint, RecordState, open_record, succession_payload
from waypost.protocol.directory.trust import Mode, PeerPolicy
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Notice, NoticeKind, Signal
from waypost.relay.settings import ConfiguredPeer
from waypost.storage.operations.mailboxes import AllMailboxes
from waypost.storage.operations.peers import AllPeers

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"


async def pair(w: World) -> tuple[Device, Device]:
    await w.node(BIRDY)
    await w.node(FINCH)
    w.introduce(BIRDY, FINCH)
    return await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")


async def turned_away(w: World, stranger: Stranger, node: str, code: Code) -> None:
    """It is refused after its proof, with that number."""
    try:
        await stranger.dial(node)
    except PeerFault as fault:
        told: int | None = fault.code.number
    else:
        told = await stranger.goodbye()
    assert told == code.number


# ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_node_learns_of_a_third_by_the_second(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        for name in (FINCH, HERON, BIRDY):
            await w.node(name)
        w.introduce(FINCH, HERON)
        await w.linked(FINCH, HERON)
        w.introduce(BIRDY, FINCH)
        await w.linked(BIRDY, FINCH)
        alice, carol = await w.device(BIRDY, "alice"), await w.device(HERON, "carol")
        await trio.sleep(1)
        known = w.peer(BIRDY, HERON)
        assert known is not None
        assert (known.mailbox, known.served) == (0, False)  # merely heard of: it costs nothing
        first = alice.send("carol@heron.local")
        await alice.until(lambda: first in alice.refused)
        assert alice.refused[first] == Code.UNREACHABLE.number
        alice.send("carol@heron.local", b"again")
        await carol.until(lambda: carol.bodies() == [b"again"])


async def test_a_node_that_moved_house_is_found_again(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await w.linked(BIRDY, FINCH)
        w.nodes[FINCH].relay.announce((RecordEndpoint("new.house.local", 1),))
        await trio.sleep(1)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert Endpoint("new.house.local", 1) in known.addresses()
        w.net.listeners["new.house.local"] = w.nodes[FINCH].relay
        known.endpoints.clear()
        w.net.cut(FINCH)
        await w.unlinked(BIRDY, FINCH)
        await bob.connect()
        alice.send("bob@finch.local")
        await bob.until(lambda: len(bob.inbox) == 1)


async def test_the_record_is_renewed_long_before_it_expires(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await pair(w)
        await w.linked(BIRDY, FINCH)
        first = w.nodes[FINCH].relay.record
        for node in w.nodes.values():
            node.clock.skew_ms += 16 * DAY_MS
        await trio.sleep(60)
        renewed = w.nodes[FINCH].relay.record
        assert renewed != first
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.row.record == renewed


async def test_news_of_an_unknown_kind_are_ignored(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        heron = Stranger(w, HERON)
        await heron.dial(BIRDY)
        heron.session.notice(Notice(99, data=record_of(FINCH, key_of("eve"), sequence=1)))
        heron.pump.wake()
        await trio.sleep(1)
        assert w.peer(BIRDY, FINCH) is None
        assert w.peer(BIRDY, HERON).link is not None  # type: ignore[union-attr]


async def test_false_hearsay_about_a_name_is_dropped_when_the_name_is_met(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        await w.node(BIRDY)
        heron = Stranger(w, HERON)
        await heron.dial(BIRDY)
        forged = record_of(FINCH, key_of("eve"), sequence=10**12, endpoints=(RecordEndpoint("eve.local", 1),))
        heron.session.notice(Notice(NoticeKind.RECORD, data=forged))
        heron.pump.wake()
        await trio.sleep(1)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.row.record == forged
        await w.node(FINCH)
        await w.device(FINCH, "bob")
        w.introduce(FINCH, BIRDY)
        await w.linked(BIRDY, FINCH)
        assert known.row.record == w.nodes[FINCH].relay.record
        assert Endpoint("eve.local", 1) not in known.addresses()
        heron.session.notice(Notice(NoticeKind.RECORD, data=forged))
        heron.pump.wake()
        await trio.sleep(1)
        assert known.row.record == w.nodes[FINCH].relay.record


async def test_bad_records_are_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        heron = Stranger(w, HERON)
        await heron.dial(BIRDY)
        now_ms = VirtualClock().wall_ms()
        good = record_of("good.local", key_of("good"))
        records = (
            b"garbage",
            good[:-1] + b"\xff",
            record_of("old.local", key_of("old"), issued_ms=now_ms - 2_000, expires_ms=now_ms - 1_000),
            record_of("future.local", key_of("future"), issued_ms=now_ms + 600_000),
            record_of("eternal.local", key_of("eternal"), expires_ms=now_ms + 31 * DAY_MS),
            record_of("gone.local", key_of("gone"), state=RecordState.GONE),
            record_of("BAD NAME", key_of("bad")),
            record_of(BIRDY, key_of("eve")),
            good,
        )
        answer = await heron.ask(Records(records))
        assert [open_record(each, now_ms).record.name for each in read(answer.body, RecordsReply).records] == [
            BIRDY,
            HERON,
        ]
        assert {peer.provider for peer in w.nodes[BIRDY].relay.peers.all()} == {HERON, "good.local"}


async def test_thousands_of_names_crowd_nobody_out(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await w.linked(BIRDY, FINCH)
        heron = Stranger(w, HERON)
        await heron.dial(BIRDY)
        relay, key = w.nodes[BIRDY].relay, key_of("maker")
        for start in range(0, HEARD_OF_MAX + 200, RECORDS_PER_MESSAGE_MAX):
            numbers = range(start, start + RECORDS_PER_MESSAGE_MAX)
            assert (await heron.ask(Records(tuple(record_of(f"n{number}.local", key) for number in numbers)))).code == 0
            await trio.sleep(4)
        assert len(relay.peers.all()) <= HEARD_OF_MAX + 2
        assert len(await w.nodes[BIRDY].store.read(AllPeers())) <= HEARD_OF_MAX + 2
        assert len([info for info in await w.nodes[BIRDY].store.read(AllMailboxes()) if info.kind]) == 2
        newcomer = Stranger(w, "newcomer.local")
        await newcomer.dial(BIRDY)
        await w.linked(BIRDY, "newcomer.local")
        alice.send("bob@finch.local")
        await bob.until(lambda: len(bob.inbox) == 1)


async def test_sightings_are_bounded_too(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        relay = w.nodes[BIRDY].relay
        for number in range(HEARD_OF_MAX + 100):
            relay.peers.sighted(Sighting(Provider(f"n{number}.local"), (Endpoint("x", 1),), None, None, "mdns"))
        assert len(relay.peers.all()) <= HEARD_OF_MAX
        await trio.sleep(1)


# ── leaving ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_leaves_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(FINCH, "carol")
        bob.send("alice@birdy.local")
        await alice.until(lambda: len(alice.inbox) == 1)
        finch, birdy = w.nodes[FINCH].relay, w.nodes[BIRDY].relay
        await finch.leave("new.example")
        await w.unlinked(BIRDY, FINCH)
        late = alice.send("bob@finch.local")
        await alice.until(lambda: late in alice.refused)
        assert alice.refused[late] == Code.PEER_GONE.number
        known = birdy.peers.get(FINCH)
        assert known is not None
        assert known.record is not None
        assert (known.gone, known.record.moved_to) == (True, "new.example")
        del carol


async def test_mail_that_waits_for_one_who_leaves_bounces_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        await w.linked(BIRDY, FINCH)
        finch.pump.close(Code.CLOSING)
        await w.unlinked(BIRDY, FINCH)
        ids = alice.send_many("bob,carol@finch.local", [b""] * 3)
        await alice.until(lambda: len(alice.accepted) == 3)
        heron = Stranger(w, HERON)
        await heron.dial(BIRDY)
        forged = record_of(FINCH, key_of("eve"), sequence=10**9, state=RecordState.GONE)
        await heron.ask(Records((forged,)))
        await trio.sleep(10)
        assert alice.outcomes == []
        tombstone = record_of(FINCH, finch.key, sequence=1, state=RecordState.GONE)
        await heron.ask(Records((tombstone,)))
        await alice.until(lambda: len(alice.outcomes) == 6)
        assert {outcome.code for outcome in alice.outcomes} == {Code.PEER_GONE.number}
        assert {outcome.ids for outcome in alice.outcomes} == set(ids)
        # Older news do not bring it back; newer do.
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        await heron.ask(Records((record_of(FINCH, finch.key),)))
        assert known.gone
        await heron.ask(Records((record_of(FINCH, finch.key, sequence=2),)))
        assert not known.gone


async def test_a_node_that_leaves_gives_back_what_it_cannot_deliver(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        finch = await w.node(FINCH)
        w.introduce(BIRDY, FINCH)
        alice, bob, carol = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob"), await w.device(FINCH, "carol")
        await w.linked(FINCH, BIRDY)
        heron = Stranger(w, HERON)
        await heron.dial(FINCH)
        await w.linked(FINCH, HERON)
        await heron.stream.aclose()
        await w.unlinked(FINCH, HERON)
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        here, there = alice.send("bob@finch.local"), carol.send("dora@heron.local")
        await alice.until(lambda: len(alice.accepted) == 1)
        await carol.until(lambda: len(carol.accepted) == 1)
        await trio.sleep(1)
        assert await finch.relay.leave() == 0
        await alice.until(lambda: [(o.ids, o.code) for o in alice.outcomes] == [(here, Code.PEER_GONE.number)])
        assert [(o.ids, o.code) for o in carol.outcomes] == [(there, Code.PEER_GONE.number)]


async def test_a_node_that_leaves_takes_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        finch = await w.node(FINCH)
        carol, bob = await w.device(FINCH, "carol"), await w.device(FINCH, "bob")
        finch.relay.intake.close()
        id_ = carol.send("bob@finch.local")
        await carol.until(lambda: carol.refused == {id_: Code.PEER_GONE.number})
        assert bob.inbox == []


async def test_a_tombstone_survives_a_restart(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.linked(BIRDY, FINCH)
        await w.nodes[FINCH].relay.leave()
        await w.unlinked(BIRDY, FINCH)
        store = w.kill(BIRDY)
        await w.node(BIRDY, store=store)
        await alice.connect()
        late = alice.send("bob@finch.local")
        await alice.until(lambda: late in alice.refused)
        assert alice.refused[late] == Code.PEER_GONE.number


# ── admission ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("mode", "admitted"), [(Mode.OPEN, True), (Mode.KNOWN, False), (Mode.ALLOWLIST, False)])
async def test_modes(autojump_clock: trio.testing.MockClock, mode: Mode, admitted: bool) -> None:
    async with world() as w:
        await w.node(BIRDY, mode=mode)
        finch = Stranger(w, FINCH)
        if admitted:
            await finch.dial(BIRDY)
            await w.linked(BIRDY, FINCH)
            return
        await turned_away(w, finch, BIRDY, Code.UNVERIFIED if mode is Mode.KNOWN else Code.NOT_ADMITTED)
        refused = [entry for entry in w.nodes[BIRDY].logs if entry["event"] == "link refused"]
        assert "waypost peers" in refused[0]["advice"]
        assert w.nodes[BIRDY].relay.peers.refused_key(Provider(FINCH)) == finch.key.public
        w.nodes[BIRDY].relay.peers.set_policy(Provider(FINCH), PeerPolicy.ALLOW, finch.key.public)
        await finch.dial(BIRDY)
        await w.linked(BIRDY, FINCH)


async def test_a_configured_peer_is_known_by_its_key(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        configured = ConfiguredPeer(Provider(FINCH), (RecordEndpoint(FINCH, 7711),), key_of(FINCH).public)
        await w.node(FINCH, mode=Mode.KNOWN, peers=(ConfiguredPeer(Provider(BIRDY), (), key_of(BIRDY).public),))
        await w.node(BIRDY, mode=Mode.KNOWN, peers=(configured,))
        await w.linked(BIRDY, FINCH)


async def test_a_changed_key_is_refused_and_the_operator_told_what_to_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.linked(BIRDY, FINCH)
        w.kill(FINCH)
        await w.unlinked(BIRDY, FINCH)
        impostor = Stranger(w, FINCH, key_of("eve"))
        await turned_away(w, impostor, BIRDY, Code.KEY_CHANGED)
        impostor.listen()
        alice.send("bob@finch.local")
        await trio.sleep(60)
        assert impostor.offered == []
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.row.key == key_of(FINCH).public
        advice = [entry["advice"] for entry in w.nodes[BIRDY].logs if entry["event"] == "link refused"]
        assert "waypost peers pin finch.local" in advice[0]


class SomeDns:
    """Names one key for every provider; None: it cannot be asked."""

    def __init__(self, key: bytes | None) -> None:
        self.key = key

    async def look_up(self, provider: Provider) -> Sighting:
        if self.key is None:
            raise Refused(Code.UNREACHABLE)
        return Sighting(provider, (Endpoint(provider, 7711),), self.key, None, "dns")


@pytest.mark.parametrize(("named", "hint"), [("eve", True), ("finch.example", False), (None, False)])
async def test_the_operator_is_told_that_the_dns_names_the_changed_key(
    autojump_clock: trio.testing.MockClock, named: str | None, hint: bool
) -> None:
    async with world() as w:
        name = "finch.example"
        dns = SomeDns(key_of(name).public)
        birdy = await w.node(BIRDY, mode=Mode.KNOWN, dns=dns)
        await Stranger(w, name).dial(BIRDY)
        await w.linked(BIRDY, name)
        dns.key = key_of(named).public if named else None
        await turned_away(w, Stranger(w, name, key_of("eve")), BIRDY, Code.KEY_CHANGED)
        [refused] = [entry for entry in birdy.logs if entry["event"] == "link refused"]
        assert ("The DNS names the new key." in refused["advice"]) is hint
        known = w.peer(BIRDY, name)
        assert known is not None
        assert known.row.key == key_of(name).public


async def test_a_key_handed_on_by_the_old_one_is_followed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.linked(BIRDY, FINCH)
        w.kill(FINCH)
        await w.unlinked(BIRDY, FINCH)
        old, new = key_of(FINCH), key_of("the new one")
        handed = old.sign(Purpose.RECORD_SUCCESSION, succession_payload(FINCH, new.public))
        heir = Stranger(w, FINCH, new, record_of(FINCH, new, old_key=old.public, old_signature=handed))
        await heir.dial(BIRDY)
        await w.linked(BIRDY, FINCH)
        alice.send("bob@finch.local")
        await heir.until(lambda: bool(heir.offered))
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert (known.row.key, known.row.trust) == (new.public, "succession")
        assert known.row.record == heir.record


async def test_our_own_name_is_taken(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await turned_away(w, Stranger(w, BIRDY, key_of("eve")), BIRDY, Code.NAME_IN_USE)


async def test_a_hello_with_anothers_record_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        for record in (
            record_of(HERON, key_of(HERON)),
            record_of(FINCH, key_of("eve")),
            record_of(HERON, key_of(FINCH)),
        ):
            await turned_away(w, Stranger(w, FINCH, record=record), BIRDY, Code.BAD_SIGNATURE)
        broken = record_of(FINCH, key_of(FINCH))[:-1] + b"\xff"
        await turned_away(w, Stranger(w, FINCH, record=broken), BIRDY, Code.BAD_SIGNATURE)
        assert w.peer(BIRDY, FINCH) is None


async def test_another_node_at_the_address_is_the_wrong_peer(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        heron = Stranger(w, HERON)
        w.net.listeners[FINCH] = heron  # type: ignore[assignment]
        w.introduce(BIRDY, FINCH)
        await trio.sleep(10)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.link is None
        assert known.trouble is not None
        assert known.trouble.code is Code.WRONG_PEER


# ── the operator ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_blocking_ends_the_link_and_keeps_it_ended(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await pair(w)
        await w.linked(BIRDY, FINCH)
        w.nodes[BIRDY].relay.peers.set_policy(Provider(FINCH), PeerPolicy.BLOCK)
        await w.unlinked(BIRDY, FINCH)
        await trio.sleep(60)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.link is None
        store = w.kill(BIRDY)
        await w.node(BIRDY, store=store)
        await trio.sleep(60)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert (known.blocked, known.link) == (True, None)


async def test_a_peer_with_mail_is_not_forgotten_and_an_empty_one_is(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.linked(BIRDY, FINCH)
        w.kill(FINCH)
        await w.unlinked(BIRDY, FINCH)
        ids = alice.send_many("bob@finch.local", [b""] * 2)
        await alice.until(lambda: len(alice.accepted) == 2)
        relay = w.nodes[BIRDY].relay
        with pytest.raises(Refused) as caught:
            await relay.peers.forget(Provider(FINCH))
        assert caught.value.code is Code.QUOTA
        known = relay.peers.get(FINCH)
        assert known is not None
        assert await relay.upkeep.give_up(known.mailbox, Code.DROPPED) == 2
        await alice.until(lambda: {o.ids for o in alice.outcomes} == set(ids))
        assert {outcome.code for outcome in alice.outcomes} == {Code.DROPPED.number}
        await relay.peers.forget(Provider(FINCH))
        assert relay.peers.get(FINCH) is None
        with pytest.raises(Refused):
            await relay.peers.forget(Provider(FINCH))
        store = w.kill(BIRDY)
        await w.node(BIRDY, store=store)
        assert w.peer(BIRDY, FINCH) is None


async def test_news_for_a_forgotten_peer_ends_quietly(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        alice.send("bob@finch.local")
        await alice.until(lambda: bool(alice.notices))
        await w.nodes[FINCH].relay.peers.forget(Provider(BIRDY))
        w.kill(BIRDY)
        await bob.connect()
        await bob.until(lambda: len(bob.inbox) == 1)
        await trio.sleep(10)
        assert not [entry for entry in w.nodes[FINCH].logs if "unforeseen" in entry["event"]]


async def test_retry_does_not_wait_for_the_schedule(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        w.introduce(BIRDY, FINCH)
        await trio.sleep(3_600)
        await w.node(FINCH)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.link is None
        w.nodes[BIRDY].relay.peers.retry(known)
        started = trio.current_time()
        await w.linked(BIRDY, FINCH)
        assert trio.current_time() - started < 1


# ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_signals_pass_if_the_way_is_open_and_the_sender_is_genuine(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol = await w.device(BIRDY, "carol")
        await w.linked(BIRDY, FINCH)

        def signal(sender: str, to: str) -> None:
            alice.session.signal(Signal(to, sender, "x-test", b"typing"))
            alice._pump.wake()

        signal("carol@birdy.local", "bob@finch.local")
        signal("alice@birdy.local", "nobody@finch.local")
        signal("alice@birdy.local", "x@nowhere.local")
        signal("alice@birdy.local", "bob@finch.local")
        signal("alice@birdy.local", "carol@birdy.local")
        await bob.until(lambda: bool(bob.signals))
        await carol.until(lambda: bool(carol.signals))
        await trio.sleep(1)
        assert [each.sender for each in bob.signals + carol.signals] == ["alice@birdy.local"] * 2


async def test_a_flood_of_signals_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        for sender in ["alice@birdy.local"] * 1_000 + ["carol@heron.local"]:
            birdy.session.signal(Signal("bob@finch.local", sender, "x-test", b"typing"))
        birdy.pump.wake()
        await trio.sleep(5)
        assert 100 <= len(bob.signals) <= 400
        assert {each.sender for each in bob.signals} == {"alice@birdy.local"}
