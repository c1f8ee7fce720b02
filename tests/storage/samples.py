"""Envelopes, devices and deposits for the tests of stores, and short ways to say what they expect."""

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import pytest

from waypost.crypto.keys import envelope_id
from waypost.errors import Code, Refused
from waypost.ids import Provider, User
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Outcome
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.storage.caches import Usages, usages_of
from waypost.storage.operations.accounts import AddAccount, AddDevice, AddInvite, AllAccounts, Device
from waypost.storage.operations.keys import StoredPackage
from waypost.storage.operations.mail import Accept, Fetch, Item, Kept, Parcel
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind, OpenMailbox, Usage
from waypost.storage.operations.peers import PeerRow
from waypost.storage.store import Store

NOW = 1_800_000_000_000
ALICE = "alice@birdy.example"
BIRDY = "birdy.example"
BOB, CAROL = User("bob"), User("carol")
MANY = 1 << 30


def item(number: int, *mailboxes: int, created_ms: int = NOW, expires_s: int = 3600, size: int = 8) -> Item:
    """An envelope like no other of another number."""
    body = number.to_bytes(8, "big").ljust(size, b".")
    envelope = Envelope(1, "finch.example", ("bob",), ALICE, created_ms, expires_s, EnvelopeClass.TEXT, "seal.1", body)
    data = encode_envelope(envelope)
    return Item(envelope_id(data), data, mailboxes, ALICE, created_ms, envelope.expires_ms)


def deposit(*items: Item, at_ms: int = NOW, source: str = BIRDY) -> Accept:
    return Accept(source, at_ms, items)


def outcome(*items: Item, code: int = 0) -> Outcome:
    return Outcome("alice", "bob@finch.example", code, NOW, b"".join(one.id for one in items))


def device(number: int, user: User = BOB, at_ms: int = NOW) -> Device:
    return Device(bytes([number]) * 32, user, f"device {number}", at_ms, 0)


def package(number: int, suite: str = "seal.1", expires_ms: int = NOW + 10_000_000) -> StoredPackage:
    return StoredPackage(suite, expires_ms, b"package %d" % number)


def packages(numbers: Sequence[int], suite: str = "seal.1") -> list[StoredPackage]:
    return [package(number, suite) for number in numbers]


def peer(number: int, key: bytes = b"", policy: PeerPolicy = PeerPolicy.NONE) -> PeerRow:
    name = Provider(f"p{number}.example")
    return PeerRow(name, key, Trust.PINNED if key else Trust.NONE, policy, b"record", NOW, NOW + number)


async def inbox(store: Store, number: int = 1) -> int:
    return await store.submit(OpenMailbox(MailboxKind.DEVICE, bytes([number]).hex() * 32))


async def joined(store: Store, number: int = 1, user: User = BOB) -> Device:
    """A device in an account that has been made if need be."""
    if user not in {account.user for account in await store.read(AllAccounts())}:
        await store.submit(AddAccount(user, NOW))
    token = b"token %d" % number
    await store.submit(AddInvite(token, user, NOW + 1))
    return await store.submit(AddDevice(token, device(number, user), b"list %d" % number))


async def waiting(store: Store, mailbox: int) -> list[bytes]:
    """All items that are offered, in order."""
    return contents(await store.read(Fetch(mailbox, 0, MANY, MANY)))


async def held_back(store: Store, mailbox: int) -> list[bytes]:
    """All items that wait for their time, in order."""
    return contents(await store.read(Kept(mailbox, MANY)))


def contents(parcels: Sequence[Parcel]) -> list[bytes]:
    return [one for parcel in parcels for one in parcel.items]


def bare(*items: Item) -> list[bytes]:
    return [one.envelope for one in items]


_CACHES: WeakKeyDictionary[Store, Usages] = WeakKeyDictionary()


async def watch_usage(store: Store) -> None:
    """From its beginning, so that `check_usage` can compare."""
    _CACHES[store] = await usages_of(store)


async def check_usage(store: Store) -> None:
    """What has been counted from the changes is what is there."""
    counted, told = _CACHES[store], await usages_of(store)
    for info in await store.read(AllMailboxes()):
        parcels = await store.read(Fetch(info.id, 0, MANY, MANY)) + await store.read(Kept(info.id, MANY))
        there = contents(parcels)
        assert counted.of(info.id) == told.of(info.id) == info.usage == Usage(len(there), sum(map(len, there)))
        assert info.oldest_ms == min((parcel.expires_ms for parcel in parcels), default=0)
        for parcel in parcels:
            assert parcel.size == sum(map(len, parcel.items))


@contextmanager
def refused(code: Code) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.code is code


async def refuses(code: Code, pending: Awaitable[object]) -> None:
    """The operation is refused; that it changes nothing is for the caller to see."""
    with refused(code):
        await pending
