"""Another process of the provider works on the same state. Its hints are all lost: a look alone shows what it did."""

from __future__ import annotations

from dataclasses import replace

import trio
import trio.testing
from tests.relay.devices import device_list
from tests.relay.world import Device, World, key_of, world
from tests.storage.processes import Process, Processes, dropped

from waypost.crypto.keys import envelope_id
from waypost.errors import Code
from waypost.ids import Address, User
from waypost.protocol.directory.reach import EVERYONE, NOBODY
from waypost.protocol.directory.trust import PeerPolicy
from waypost.storage.operations import accounts
from waypost.storage.operations.changes import Subject
from waypost.storage.operations.mail import Accept, Item
from waypost.storage.operations.peers import AllPeers, SavePeer

BIRDY, FINCH = "birdy.local", "finch.local"
TOKEN = bytes(32)


async def node_and_other(w: World) -> tuple[Process, Process]:
    """The store of a node that runs, and that of another process over the same state."""
    mine, other = Processes(dropped).both
    await w.node(FINCH, store=mine)
    return mine, other


async def add_elsewhere(other: Process, user: str) -> bytes:
    """An account with a device; its key."""
    address, key = f"{user}@{FINCH}", key_of(f"device of {user}@{FINCH}").public
    await other.submit(accounts.AddAccount(User(user), 0))
    await other.submit(accounts.AddInvite(TOKEN, User(user), 2**53 - 1))
    listed = device_list(address, 1, key)
    await other.submit(accounts.AddDevice(TOKEN, accounts.Device(key, User(user), "test", 0, 0), listed))
    return key


async def look(store: Process, subject: Subject) -> None:
    store.hear(subject)
    await trio.testing.wait_all_tasks_blocked()


async def place(w: World, store: Process, device: Device, body: bytes) -> None:
    """Mail from outside for a device, committed by that process."""
    [mailbox] = w.nodes[FINCH].relay.accounts.device_mailboxes(Address.of(device.address))
    data = device.envelope(device.address, body)
    item = Item(envelope_id(data), data, (mailbox,), "alice@birdy.local", 0, 2**53 - 1)
    await store.submit(Accept(BIRDY, 0, [item]))


async def test_an_account_that_another_process_added_is_served(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        mine, other = await node_and_other(w)
        bob = await w.device(FINCH, "bob")
        await add_elsewhere(other, "carol")
        carol = Device(w, FINCH, f"carol@{FINCH}", key_of(f"device of carol@{FINCH}"))
        before = bob.send(carol.address)
        await bob.until(lambda: bob.refused == {before: Code.NOT_FOUND.number})
        await look(mine, Subject.ACCOUNTS)
        await carol.connect()
        bob.send(carol.address, b"welcome")
        await carol.until(lambda: carol.bodies() == [b"welcome"])


async def test_an_account_that_another_process_removed_is_served_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        mine, other = await node_and_other(w)
        bob, carol = await w.device(FINCH, "bob"), await w.device(FINCH, "carol")
        await other.submit(accounts.RemoveAccount(User("carol")))
        await look(mine, Subject.ACCOUNTS)
        await carol.until(lambda: carol.closed is not None)
        assert carol.closed is not None
        assert carol.closed.code == Code.UNKNOWN_DEVICE.number
        id_ = bob.send(carol.address)
        await bob.until(lambda: bob.refused == {id_: Code.NOT_FOUND.number})


async def test_reach_that_another_process_has_set_holds(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        mine, other = await node_and_other(w)
        await w.device(FINCH, "bob")
        user = w.nodes[FINCH].relay.accounts.get("bob")
        assert user is not None
        for reach in (NOBODY, EVERYONE):
            await other.submit(accounts.ChangeReach(User("bob"), reach))
            assert user.account.reach != reach
            await look(mine, Subject.ACCOUNTS)
            assert user.account.reach == reach


async def test_mail_that_another_process_placed_is_delivered_once_and_none_is_passed_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        mine, other = await node_and_other(w)
        bob = await w.device(FINCH, "bob")
        await place(w, mine, bob, b"own")
        await bob.until(lambda: bob.bodies() == [b"own"])
        await place(w, other, bob, b"theirs")
        await place(w, mine, bob, b"own again")  # behind what was not heard of
        await bob.until(lambda: bob.bodies() == [b"own", b"own again"])
        await look(mine, Subject.MAIL)
        await bob.until(lambda: len(bob.inbox) == 3)
        await trio.sleep(10)
        assert bob.bodies() == [b"own", b"own again", b"theirs"]
        [mailbox] = w.nodes[FINCH].relay.accounts.device_mailboxes(Address.of(bob.address))
        assert w.nodes[FINCH].relay.usages.of(mailbox).items == 0


async def test_a_peer_that_another_process_blocked_is_parted_with(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        mine, other = await node_and_other(w)
        await w.node(BIRDY)
        w.introduce(FINCH, BIRDY)
        await w.linked(FINCH, BIRDY)
        await trio.testing.wait_all_tasks_blocked()
        [row] = await other.read(AllPeers())
        await other.submit(SavePeer(replace(row, policy=PeerPolicy.BLOCK)))
        await trio.sleep(60)
        assert w.peer(FINCH, BIRDY).link is not None  # type: ignore[union-attr] # it is known
        await look(mine, Subject.PEERS)
        await w.unlinked(FINCH, BIRDY)
        await other.submit(SavePeer(row))
        await look(mine, Subject.PEERS)
        await w.linked(FINCH, BIRDY)
