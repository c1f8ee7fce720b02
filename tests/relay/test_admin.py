"""What the operator sees and does, asked as the administration socket asks it."""

from __future__ import annotations

from typing import Any, TypeVar, cast, get_args, get_type_hints

import pytest
import trio
import trio.testing
from tests.relay.world import Node, key_of, world

from waypost.crypto.fingerprint import node_fingerprint
from waypost.crypto.keys import key_text
from waypost.errors import Code, Refused, WaypostError
from waypost.limits import ADMIN_LISTED_MAX
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.trust import Mode
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.operator import (
    ActOnQueue,
    AddUser,
    Backup,
    GetStatus,
    Leave,
    ListPeers,
    ListQueue,
    ListUsers,
    OperatorRequest,
    PeerAction,
    QueueAction,
    RemoveUser,
    Request,
    SetPeer,
    SetReach,
    Stop,
    Why,
    answer_type,
)
from waypost.relay.operator import HANDLERS, answer

A = TypeVar("A")


async def ask(node: Node, request: OperatorRequest[A]) -> A:
    """By way of the bytes that the socket carries."""
    found = await answer(node.relay, read(pack(request), type(request)))
    kind = answer_type(type(request))
    assert isinstance(found, kind)
    assert read(pack(found), kind) == found
    return found


async def refusal(node: Node, request: OperatorRequest[Any]) -> int:
    with pytest.raises(WaypostError) as caught:
        await answer(node.relay, read(pack(request), type(request), Code.BAD_REQUEST))
    return caught.value.code.number


def test_each_request_has_its_handler_which_answers_what_the_request_says() -> None:
    assert set(HANDLERS) == set(get_args(Request))
    for kind, handler in HANDLERS.items():
        *_, asked = [hint for name, hint in get_type_hints(handler).items() if name != "return"]
        assert (asked, get_type_hints(handler)["return"]) == (kind, answer_type(kind))


async def settle(node: Node, condition: Any) -> None:
    with trio.fail_after(600):
        while not condition():  # noqa: ASYNC110 - several conditions, none with an event
            await trio.sleep(0.1)


async def test_status_counts_what_there_is(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice, bob = await w.device("birdy.local", "alice"), await w.device("finch.local", "bob")
        alice.send("bob@finch.local")
        await bob.until(lambda: len(bob.inbox) == 1)
        await alice.until(lambda: len(alice.outcomes) == 1)
        status = await ask(birdy, GetStatus())
        assert status.provider == "birdy.local"
        assert status.fingerprint == node_fingerprint(birdy.relay.key.public, "birdy.local")
        assert (status.users, status.devices, status.devices_connected) == (1, 1, 1)
        assert status.endpoints == ("birdy.local:7711",)
        assert status.totals.accepted == 1
        [peer] = status.peers
        assert (peer.provider, peer.state, peer.given, peer.waiting) == ("finch.local", "linked", 1, 0)


async def test_queue_of_a_peer_that_is_away_then_retried(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice, bob = await w.device("birdy.local", "alice"), await w.device("finch.local", "bob")
        await settle(birdy, lambda: len(birdy.relay.links()) == 2)
        store = w.kill("finch.local")
        id_ = alice.send("bob@finch.local", b"later")
        await settle(birdy, lambda: birdy.relay.peers.all()[0].trouble is not None)
        [waiting] = (await ask(birdy, ListQueue())).queues
        assert (waiting.provider, waiting.waiting, waiting.state) == ("finch.local", 1, "failing")
        assert waiting.next_try_ms > birdy.clock.wall_ms() - 1
        assert waiting.error
        found = await ask(birdy, Why(id_.hex()))
        assert found.state == "waiting"
        assert [row.event for row in found.rows] == ["accepted", "queued"]

        await trio.sleep(86_400 / 2)  # far into the schedule, where the next try by itself is an hour away
        await w.node("finch.local", store=store)
        before = trio.current_time()
        tried = await ask(birdy, ActOnQueue("finch.local", QueueAction.RETRY))
        assert tried.count == 1
        await bob.connect()
        await bob.until(lambda: bob.bodies() == [b"later"])
        assert trio.current_time() - before < 5


async def test_dropping_a_queue_tells_the_senders(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice = await w.device("birdy.local", "alice")
        await settle(birdy, lambda: len(birdy.relay.links()) == 2)
        w.kill("finch.local")
        ids = alice.send_many("bob@finch.local", [b"1", b"2", b"3"])
        await alice.until(lambda: len(alice.accepted) == 3)
        assert (await ask(birdy, ActOnQueue("finch.local", QueueAction.DROP))).count == 3
        await alice.until(lambda: sum(len(outcome.ids) // 16 for outcome in alice.outcomes) == 3)
        assert {outcome.code for outcome in alice.outcomes} == {Code.DROPPED.number}
        assert (await ask(birdy, ListQueue())).queues == ()
        found = await ask(birdy, Why(ids[0].hex()))
        assert (found.state, found.code) == ("bounced", Code.DROPPED.number)


async def test_users_come_and_go(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        added = await ask(birdy, AddUser("Alice@birdy.local"))
        assert added.address == "alice@birdy.local"
        assert parse_invite(added.invite).address == "alice@birdy.local"
        with pytest.raises(Refused) as known:
            await answer(birdy.relay, AddUser("alice"))
        assert known.value.code is Code.USER_EXISTS
        assert "device" not in known.value.detail  # a second one cannot join: its profile would be of another identity
        assert await refusal(birdy, AddUser("alice@finch.local")) == Code.BAD_ADDRESS.number
        assert await refusal(birdy, AddUser("a@b")) == Code.BAD_ADDRESS.number
        assert await refusal(birdy, AddUser("a/b")) == Code.BAD_ADDRESS.number
        assert await refusal(birdy, AddUser("nobody", again=True)) == Code.NOT_FOUND.number
        assert (await ask(birdy, AddUser("alice", again=True))).invite != added.invite
        [user] = (await ask(birdy, ListUsers())).users
        assert (user.address, user.devices, user.effective) == ("alice@birdy.local", 0, "all")
        assert (await ask(birdy, RemoveUser("alice"))).address == "alice@birdy.local"
        assert await refusal(birdy, RemoveUser("alice")) == Code.NOT_FOUND.number
        assert (await ask(birdy, ListUsers())).users == ()


async def test_reach(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await ask(birdy, AddUser("alice"))
        set_ = await ask(birdy, SetReach("alice", ReachMode.SOME, ("Finch.Local",)))
        assert (set_.reach, set_.providers) == ("some", ("finch.local",))
        assert (await ask(birdy, SetReach("alice", ReachMode.NONE))).effective == "none"
        assert (await ask(birdy, SetReach("alice", ReachMode.DEFAULT))).effective == "all"
        assert await refusal(birdy, SetReach("alice", ReachMode.SOME)) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetReach("alice", ReachMode.ALL, ("finch.local",))) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetReach("alice", cast(ReachMode, "perhaps"))) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetReach("alice", ReachMode.SOME, ("finch",))) == Code.BAD_ADDRESS.number
        assert await refusal(birdy, SetReach("bob", ReachMode.NONE)) == Code.NOT_FOUND.number


async def test_block_clear_and_forget(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        await settle(birdy, lambda: bool(birdy.relay.links()))
        await ask(birdy, SetPeer("finch.local", PeerAction.BLOCK))
        await settle(birdy, lambda: not birdy.relay.links())
        await trio.sleep(3_600)
        assert not birdy.relay.links()
        [peer] = (await ask(birdy, ListPeers())).peers
        assert (peer.state, peer.policy, peer.trust) == ("blocked", "block", "first-use")
        await ask(birdy, SetPeer("finch.local", PeerAction.CLEAR))
        await settle(birdy, lambda: bool(birdy.relay.links()))
        assert await refusal(birdy, SetPeer("wren.local", PeerAction.CLEAR)) == Code.PROVIDER_UNKNOWN.number
        assert await refusal(birdy, SetPeer("birdy.local", PeerAction.BLOCK)) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetPeer("finch.local", cast(PeerAction, "hug"))) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetPeer("finch", PeerAction.BLOCK)) == Code.BAD_ADDRESS.number
        w.kill("finch.local")
        await ask(birdy, SetPeer("finch.local", PeerAction.FORGET))
        assert (await ask(birdy, ListPeers())).peers == ()


async def test_refused_peer_is_pinned_by_its_fingerprint(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local", mode=Mode.KNOWN)
        finch = await w.node("finch.local", mode=Mode.OPEN)
        w.introduce("finch.local", "birdy.local")
        await settle(finch, lambda: any(entry["event"] == "link refused" for entry in birdy.logs))
        assert not birdy.relay.links()
        fingerprint = node_fingerprint(finch.relay.key.public, "finch.local")
        wrong = fingerprint.replace(fingerprint[0], str((int(fingerprint[0]) + 1) % 10))
        assert await refusal(birdy, SetPeer("finch.local", PeerAction.PIN, wrong)) == Code.PROVIDER_UNKNOWN.number
        assert await refusal(birdy, SetPeer("finch.local", PeerAction.PIN, fingerprint[:-1])) == Code.BAD_REQUEST.number
        assert await refusal(birdy, SetPeer("finch.local", PeerAction.PIN, "abc")) == Code.BAD_REQUEST.number
        pinned = await ask(birdy, SetPeer("finch.local", PeerAction.PIN, fingerprint))
        assert pinned.fingerprint == fingerprint
        await ask(finch, ActOnQueue("birdy.local", QueueAction.RETRY))
        await settle(birdy, lambda: bool(birdy.relay.links()))
        [peer] = (await ask(birdy, ListPeers())).peers
        assert (peer.trust, peer.key) == ("pinned", key_text(finch.relay.key.public))


async def test_pinning_another_key_ends_the_link(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        await settle(birdy, lambda: bool(birdy.relay.links()))
        await ask(birdy, SetPeer("finch.local", PeerAction.PIN, key_text(key_of("the real finch").public)))
        await settle(birdy, lambda: not birdy.relay.links())
        await trio.sleep(3_600)
        assert not birdy.relay.links()


async def test_leaving_leaves_a_tombstone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        finch = await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        alice = await w.device("birdy.local", "alice")
        await settle(birdy, lambda: len(birdy.relay.links()) == 2)
        left = await ask(finch, Leave("wren.local"))
        assert (left.told, left.moved_to) == (1, "wren.local")
        await settle(birdy, lambda: birdy.relay.peers.all()[0].gone and birdy.relay.peers.all()[0].link is None)
        [peer] = (await ask(birdy, ListPeers())).peers
        assert (peer.state, peer.moved_to) == ("closed", "wren.local")
        id_ = alice.send("bob@finch.local")
        await settle(birdy, lambda: alice.refused == {id_: Code.PEER_GONE.number})
        assert await refusal(birdy, Leave("wren")) == Code.BAD_ADDRESS.number


async def test_why_of_an_unknown_message(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        assert await refusal(birdy, Why("00" * 16)) == Code.UNKNOWN_MESSAGE.number
        assert await refusal(birdy, Why("what?")) == Code.UNKNOWN_MESSAGE.number


async def test_backup_needs_a_whole_path(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        assert await refusal(birdy, Backup("somewhere")) == Code.BAD_REQUEST.number


async def test_long_lists_are_cut_and_say_so(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        for number in range(ADMIN_LISTED_MAX + 5):
            await birdy.relay.add_user(f"user{number}")
        found = await ask(birdy, ListUsers())
        assert (len(found.users), found.left_out) == (ADMIN_LISTED_MAX, 5)


async def test_stop(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        assert (await ask(birdy, Stop())).provider == "birdy.local"
        assert birdy.relay.stopping.is_set()


@pytest.mark.parametrize("action", ["", "explode"])
async def test_unknown_action_on_a_queue(autojump_clock: trio.testing.MockClock, action: str) -> None:
    async with world() as w:
        birdy = await w.node("birdy.local")
        await w.node("finch.local")
        w.introduce("birdy.local", "finch.local")
        assert await refusal(birdy, ActOnQueue("finch.local", cast(QueueAction, action))) == Code.BAD_REQUEST.number
        assert await refusal(birdy, ActOnQueue("wren.local", QueueAction.RETRY)) == Code.PROVIDER_UNKNOWN.number
