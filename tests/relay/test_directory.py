"""Joining, keys, consent, traces: what devices and peers may ask, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
import trio
import trio.testing
from tests.relay.devices import another_device, device_list, invite_token, try_join
from tests.relay.stranger import Stranger
from tests.relay.world import Device, VirtualClock, World, key_of, world

from waypost.crypto.keys import SigningKey
from waypost.errors import Code, Refused
from waypost.ids import Provider, User, parse_address
from waypost.limits import CLAIM_BURST, PACKAGES_LOW
from waypost.protocol.directory.asks import (
    AskReach,
    Claim,
    ClaimAnswer,
    ClaimReply,
    Join,
    JoinReply,
    Publish,
    PublishReply,
    ReachReply,
    Records,
    Track,
    TrackReply,
)
from waypost.protocol.directory.bundle import DevicePackage, open_claim, sign_package
from waypost.protocol.directory.invite import token_hash
from waypost.protocol.directory.reach import EVERYONE, NOBODY, Reach, reach_of
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Answer, NoticeKind
from waypost.protocol.frames.session import Asked
from waypost.storage.operations.accounts import AddInvite

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"
_numbers = count()


def package(key: SigningKey, *, last_resort: bool = False, lifetime_s: int = 86_400) -> bytes:
    expires_ms = VirtualClock().wall_ms() + lifetime_s * 1000
    init = next(_numbers).to_bytes(32, "big")
    return sign_package(DevicePackage(1, "x-test", key.public, init, expires_ms, last_resort), key)


async def publish(device: Device, packages: Sequence[bytes], last: bytes = b"", epoch: int = 1) -> PublishReply:
    answer = await device.ask(Publish(next(_numbers).to_bytes(16, "big"), epoch, tuple(packages), last))
    assert answer.code == 0, answer
    return read(answer.body, PublishReply)


def claim(address: str, request: int | None = None, suite: str = "x-test") -> Claim:
    number = next(_numbers) if request is None else request
    return Claim(number.to_bytes(16, "big"), address, (suite,))


def states(answer: Answer) -> list[str]:
    assert answer.code == 0, answer
    return [keys.state for keys in read(read(answer.body, ClaimAnswer).reply, ClaimReply).devices]


def packages_of(answer: Answer) -> list[bytes]:
    return [keys.package for keys in read(read(answer.body, ClaimAnswer).reply, ClaimReply).devices]


async def pair(w: World) -> tuple[Device, Device]:
    await w.node(BIRDY)
    await w.node(FINCH)
    w.introduce(BIRDY, FINCH)
    return await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")


# ── joining ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def newcomer(w: World, user: str = "alice", node: str = BIRDY) -> tuple[Device, bytes, bytes]:
    token = await invite_token(w, node, user)
    device = Device(w, node, f"{user}@{node}", key_of("newcomer"))
    return device, token, device_list(device.address, 1, device.key.public)


async def test_joining_again_with_the_same_invite_repeats_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        device, token, listed = await newcomer(w)
        first = await try_join(w, device, token, listed)
        again = await try_join(w, device, token, listed)
        assert first.code == again.code == 0
        assert read(again.body, JoinReply).address == "alice@birdy.local"


async def test_an_invite_serves_one_device(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        device, token, listed = await newcomer(w)
        await try_join(w, device, token, listed)
        other = Device(w, BIRDY, device.address, key_of("other"))
        answer = await try_join(w, other, token, device_list(device.address, 2, device.key.public, other.key.public))
        assert answer.code == Code.INVITE_INVALID.number


async def test_unknown_and_expired_invites(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        device, token, listed = await newcomer(w)
        assert (await try_join(w, device, bytes(16), listed)).code == Code.INVITE_INVALID.number
        soon_ms = VirtualClock().wall_ms() + 1_000
        await w.nodes[BIRDY].store.submit(AddInvite(token_hash(token), User("alice"), soon_ms))
        await trio.sleep(2)
        assert (await try_join(w, device, token, listed)).code == Code.INVITE_INVALID.number


async def test_an_invite_for_another_account(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        token = await invite_token(w, BIRDY, "alice")
        await invite_token(w, BIRDY, "carol")
        device = Device(w, BIRDY, "carol@birdy.local", key_of("newcomer"))
        answer = await try_join(w, device, token, device_list(device.address, 1, device.key.public))
        assert answer.code == Code.INVITE_INVALID.number


async def test_hostile_device_lists(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        second = Device(w, BIRDY, alice.address, key_of("second"))
        keys = (alice.key.public, second.key.public)
        eve = key_of("eve's identity")
        for listed, code in (
            (device_list(alice.address, 2, second.key.public), Code.CONFLICT),  # drops the first device
            (device_list(alice.address, 1, *keys), Code.CONFLICT),  # no newer
            (device_list(alice.address, 2, *keys, identity=eve), Code.OTHER_IDENTITY),  # another identity
            (device_list(alice.address, 2, alice.key.public), Code.INVITE_INVALID),  # without the joining device
            (device_list("carol@birdy.local", 2, *keys), Code.BAD_REQUEST),  # of another account
            (device_list(alice.address, 2, *keys)[:-1] + b"\xff", Code.BAD_REQUEST),  # altered
            (b"", Code.BAD_REQUEST),
        ):
            token = await invite_token(w, BIRDY, "alice")
            assert (await try_join(w, second, token, listed)).code == code.number
        assert len(w.nodes[BIRDY].relay.accounts.get("alice").devices) == 1  # type: ignore[union-attr]


async def test_two_devices_joining_at_once_cannot_undo_each_other(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        others = [Device(w, BIRDY, alice.address, key_of(f"other {number}")) for number in range(2)]
        tokens = [await invite_token(w, BIRDY, "alice") for _ in others]
        codes: list[int] = []

        async def join(device: Device, token: bytes) -> None:
            listed = device_list(alice.address, 2, alice.key.public, device.key.public)
            codes.append((await try_join(w, device, token, listed)).code)

        async with trio.open_nursery() as nursery:
            for device, token in zip(others, tokens, strict=True):
                nursery.start_soon(join, device, token)
        assert sorted(codes) == [0, Code.CONFLICT.number]


async def test_whoever_has_not_joined_may_only_join(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        for ask in (claim("bob@finch.local"), Track(bytes(16)), AskReach("all"), Records(())):
            eve = Device(w, BIRDY, alice.address, key_of("eve"))
            await eve.connect()
            eve.session.ask(ask, [], trio.current_time())
            eve._pump.wake()
            await eve.until(lambda eve=eve: eve.closed is not None)  # type: ignore[misc]
            assert eve.closed is not None
            assert eve.closed.code == Code.UNKNOWN_DEVICE.number
        eve = Device(w, BIRDY, alice.address, key_of("eve"))
        await eve.connect()
        await eve.until(lambda: eve.closed is not None, seconds=30)  # it may not linger either


async def test_a_stranger_under_our_name_uses_up_nothing_of_ours(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        eve = Device(w, BIRDY, alice.address, key_of("eve"))
        await eve.connect()
        for _ in range(300):
            if eve.session.can_ask:
                eve.session.ask(Join(bytes(16), b""), [], trio.current_time())
                eve._pump.wake()
            await trio.lowlevel.checkpoint()
        assert (await alice.ask(AskReach("show"))).code == 0


async def test_a_device_of_another_account_is_no_device_of_this_one(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        carol = await w.device(BIRDY, "carol")
        posing = Device(w, BIRDY, carol.address, alice.key)
        await posing.connect()
        posing.send("bob@finch.local")
        await posing.until(lambda: posing.closed is not None)
        assert posing.closed is not None
        assert posing.closed.code == Code.UNKNOWN_DEVICE.number


async def test_one_program_at_a_time_on_a_profile(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        again = Device(w, FINCH, bob.address, bob.key)
        await again.connect()
        await bob.until(lambda: bob.closed is not None)
        assert bob.closed is not None
        assert bob.closed.code == Code.REPLACED.number
        alice.send("bob@finch.local")
        await again.until(lambda: len(again.inbox) == 1)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_time_packages_are_issued_in_order_and_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        given = [package(bob.key) for _ in range(3)]
        last = package(bob.key, last_resort=True)
        assert (await publish(bob, given, last)).left == 3
        answers = [await alice.ask(claim("bob@finch.local")) for _ in range(5)]
        assert [packages_of(answer)[0] for answer in answers] == [*given, last, last]
        assert [states(answer)[0] for answer in answers] == ["one-time"] * 3 + ["last-resort"] * 2


async def test_a_claim_through_a_peer_checks_out(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await publish(bob, [package(bob.key)])
        asked = claim("bob@finch.local")
        answer = await alice.ask(asked)
        bundle = open_claim(
            read(answer.body, ClaimAnswer), parse_address(asked.address), asked.request, VirtualClock().wall_ms()
        )
        assert bundle.identity_key == key_of("identity of bob@finch.local").public
        assert bundle.node_key == key_of(FINCH).public
        assert len(bundle.packages) == 1


async def test_a_claim_is_answered_the_same_again(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await publish(bob, [package(bob.key) for _ in range(3)])
        first = await alice.ask(claim("bob@finch.local", request=7))
        again = await alice.ask(claim("bob@finch.local", request=7))
        assert first.body == again.body
        changed = await alice.ask(claim("bob@finch.local", request=7, suite="x-other"))
        assert changed.code == Code.CONFLICT.number
        assert (await publish(bob, [])).left == 2


async def test_a_claim_sent_twice_at_once_uses_up_one_package(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await publish(bob, [package(bob.key) for _ in range(3)])
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await alice.ask(claim("bob@finch.local", request=8)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert packages_of(answers[0]) == packages_of(answers[1])
        assert (await publish(bob, [])).left == 2


async def test_without_packages_the_state_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        assert states(await alice.ask(claim("bob@finch.local"))) == ["exhausted"]
        await publish(bob, [package(bob.key)])
        assert states(await alice.ask(claim("bob@finch.local", suite="x-other"))) == ["incompatible"]
        second = await another_device(w, bob)
        assert sorted(states(await alice.ask(claim("bob@finch.local")))) == ["exhausted", "one-time"]
        del second


async def test_expired_packages_are_never_served(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await publish(bob, [package(bob.key, lifetime_s=300)])
        await trio.sleep(301)
        assert states(await alice.ask(claim("bob@finch.local"))) == ["exhausted"]


async def test_a_device_hears_that_its_keys_run_low(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await publish(bob, [package(bob.key) for _ in range(PACKAGES_LOW + 1)])
        await alice.ask(claim("bob@finch.local"))
        await bob.until(lambda: any(notice.kind == NoticeKind.KEYS_LOW for notice in bob.notices))
        assert bob.notices[-1].code == PACKAGES_LOW


async def test_publishing_for_an_old_epoch_changes_nothing_and_tells_the_new(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        _, bob = await pair(w)
        reply = await publish(bob, [package(bob.key)], epoch=99)
        assert (reply.left, reply.epoch) == (0, 1)


async def test_packages_that_cannot_be_used_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        _, bob = await pair(w)
        for ask in (
            Publish(bytes(16), 1, (package(key_of("eve")),)),
            Publish(bytes(16), 1, (package(bob.key, last_resort=True),)),
            Publish(bytes(16), 1, (), package(bob.key)),
            Publish(bytes(16), 1, (package(bob.key, lifetime_s=30),)),
            Publish(bytes(16), 1, (b"garbage",)),
        ):
            assert (await bob.ask(ask)).code == Code.BAD_REQUEST.number
        over = Publish(bytes(16), 1, tuple(package(bob.key) for _ in range(100)))
        assert (await bob.ask(over)).code == 0
        assert (await bob.ask(Publish(b"1" * 16, 1, (package(bob.key),)))).code == Code.QUOTA.number
        assert (await bob.ask(Publish(bytes(16), 1, (package(bob.key),)))).code == Code.CONFLICT.number


async def test_a_peer_cannot_drain_the_packages_nor_tell_who_exists(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        await publish(bob, [package(bob.key) for _ in range(100)])
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        codes: dict[str, list[int]] = {"bob": [], "nobody": []}
        for number in range(CLAIM_BURST + 10):
            for user, seen in codes.items():
                seen.append((await birdy.ask(claim(f"{user}@finch.local"))).code)
            if number % 20 == 0:
                # A request's own limit is not what this is about.
                w.nodes[FINCH].relay.services._queries._table.clear()
        assert codes["bob"].count(Code.RATE_LIMITED.number) >= 5
        assert [code == Code.RATE_LIMITED.number for code in codes["bob"]] == [
            code == Code.RATE_LIMITED.number for code in codes["nobody"]
        ]
        for number in range(60):
            assert (await birdy.ask(claim(f"made-up-{number}@finch.local"))).code == Code.NOT_FOUND.number
            await trio.sleep(0.1)


async def test_requests_are_limited(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        codes = [(await alice.ask(AskReach("show"))).code for _ in range(300)]
        assert codes.count(0) >= 190
        assert Code.RATE_LIMITED.number in codes


async def test_a_claim_to_a_provider_that_cannot_be_reached(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        w.introduce(BIRDY, FINCH)
        started = trio.current_time()
        assert (await alice.ask(claim("bob@finch.local"))).code == Code.UNREACHABLE.number
        assert trio.current_time() - started < 11
        await trio.sleep(3_600)
        started = trio.current_time()
        assert (await alice.ask(claim("bob@finch.local"))).code == Code.UNREACHABLE.number
        assert trio.current_time() - started < 1
        assert (await alice.ask(claim("bob@nowhere.local"))).code == Code.PROVIDER_UNKNOWN.number
        assert (await alice.ask(claim("bob@Not A Name"))).code == Code.PROVIDER_UNKNOWN.number


async def test_a_claim_whose_link_ends_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        answers: list[Answer] = []
        alice.session.ask(claim("bob@finch.local"), answers, trio.current_time())
        alice._pump.wake()
        await finch.until(lambda: any(isinstance(event, Asked) for event in finch.events))
        started = trio.current_time()
        finch.pump.close(Code.CLOSING)
        await alice.until(lambda: bool(answers))
        assert answers[0].code == Code.UNREACHABLE.number
        assert trio.current_time() - started < 1


async def test_a_peer_that_never_answers_or_answers_nonsense(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        alice = await w.device(BIRDY, "alice")
        finch = Stranger(w, FINCH)
        await finch.dial(BIRDY)
        assert (await alice.ask(claim("bob@finch.local"))).code == Code.TIMED_OUT.number

        def nonsense(stranger: Stranger, event: object) -> None:
            if isinstance(event, Asked):
                stranger.session.answer(event.id, 0, "", b"x", b"short")

        finch.on_event = nonsense
        assert (await alice.ask(claim("bob@finch.local"))).code == Code.INTERNAL.number
        finch.on_event = lambda stranger, event: (
            stranger.session.answer(event.id, 65_535, "no") if isinstance(event, Asked) else None
        )
        assert (await alice.ask(claim("bob@finch.local"))).code == Code.INTERNAL.number


# ── consent ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("default", "own", "reached"),
    [
        (NOBODY, None, False),
        (EVERYONE, None, True),
        (reach_of("some", (Provider(BIRDY),)), None, True),
        (reach_of("some", (Provider(HERON),)), None, False),
        (NOBODY, AskReach("all"), True),
        (EVERYONE, AskReach("none"), False),
        (NOBODY, AskReach("some", (BIRDY,)), True),
        (EVERYONE, AskReach("some", (HERON,)), False),
    ],
)
async def test_consent(
    autojump_clock: trio.testing.MockClock,
    default: Reach,
    own: AskReach | None,
    reached: bool,
) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH, reach=default)
        w.introduce(BIRDY, FINCH)
        alice, bob = await w.device(BIRDY, "alice"), await w.device(FINCH, "bob")
        carol = await w.device(FINCH, "carol")
        await publish(bob, [package(bob.key)])
        if own is not None:
            assert (await bob.ask(own)).code == 0
        shown = read((await bob.ask(AskReach("show"))).body, ReachReply)
        assert shown.mode == (own.mode if own else "")
        answer = await alice.ask(claim("bob@finch.local"))
        missing = await alice.ask(claim("nobody@finch.local"))
        assert answer.code == (0 if reached else Code.NOT_FOUND.number)
        if not reached:
            assert (answer.code, answer.text, answer.body) == (missing.code, missing.text, missing.body)
        alice.send("bob@finch.local")
        await alice.until(lambda: len(alice.outcomes) == 1)
        assert alice.outcomes[0].code == (0 if reached else Code.NOT_FOUND.number)
        carol.send("bob@finch.local", b"from home")
        await bob.until(lambda: b"from home" in bob.bodies())


async def test_nonsense_about_consent_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        for ask in (
            AskReach("any"),
            AskReach("some"),
            AskReach("some", ("not a name",)),
            AskReach("all", (FINCH,)),
            AskReach(""),
        ):
            assert (await alice.ask(ask)).code == Code.BAD_REQUEST.number


async def test_consent_survives_a_restart(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        await bob.ask(AskReach("none"))
        store = w.kill(FINCH)
        await w.node(FINCH, store=store)
        await bob.connect()
        alice.send("bob@finch.local")
        await alice.until(lambda: len(alice.outcomes) == 1)
        assert alice.outcomes[0].code == Code.NOT_FOUND.number


# ── traces ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_both_ends_may_ask_where_a_message_is_and_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        carol, dave = await w.device(BIRDY, "carol"), await w.device(FINCH, "dave")
        id_ = alice.send("bob@finch.local")
        await alice.until(lambda: bool(alice.outcomes))
        here = read((await alice.ask(Track(id_))).body, TrackReply)
        there = read((await bob.ask(Track(id_))).body, TrackReply)
        assert (here.state, there.state) == ("delivered", "delivered")
        assert [(row.event, row.party) for row in here.rows] == [
            ("accepted", "alice@birdy.local"),
            ("queued", FINCH),
            ("held", FINCH),
            ("delivered", "bob@finch.local"),
        ]
        assert [row.event for row in there.rows] == ["accepted", "queued", "delivered"]
        for stranger in (carol, dave):
            assert (await stranger.ask(Track(id_))).code == Code.UNKNOWN_MESSAGE.number
        assert (await alice.ask(Track(bytes(16)))).code == Code.UNKNOWN_MESSAGE.number


async def test_a_waiting_message_says_why_and_until_when(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        alice, _ = await pair(w)
        await w.linked(BIRDY, FINCH)
        w.kill(FINCH)
        await w.unlinked(BIRDY, FINCH)
        id_ = alice.send("bob@finch.local")
        await alice.until(lambda: id_ in alice.accepted)
        await trio.sleep(600)
        reply = read((await alice.ask(Track(id_))).body, TrackReply)
        assert (reply.state, reply.code) == ("waiting", Code.UNREACHABLE.number)
        assert reply.next_try_ms > VirtualClock().wall_ms()


async def test_delivered_to_one_device_is_delivered_though_another_never_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        alice, bob = await pair(w)
        second = await another_device(w, bob)
        second.disconnect()
        await second.until(lambda: second.closed is not None)
        id_ = alice.send("bob@finch.local", expires_s=60)
        await trio.sleep(120)
        reply = read((await bob.ask(Track(id_))).body, TrackReply)
        assert reply.state == "delivered"


async def test_peers_may_not_ask_what_devices_may(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        for ask in (Track(bytes(16)), AskReach("all"), Publish(bytes(16), 1, ()), Join(bytes(16), b"")):
            assert (await birdy.ask(ask)).code == Code.FORBIDDEN.number


async def test_users_are_added_once(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        node = await w.node(BIRDY)
        await node.relay.add_user("alice")
        with pytest.raises(Refused) as caught:
            await node.relay.add_user("alice")
        assert caught.value.code is Code.USER_EXISTS
