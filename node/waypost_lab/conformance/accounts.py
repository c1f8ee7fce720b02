"""Invites, device lists, Join and AskReach: [DIR-3] to [DIR-7], [DIR-27] of docs/protocol/directory.md."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from waypost.crypto.keys import Purpose, SigningKey
from waypost.errors import Code
from waypost.protocol.directory.asks import AskReach, Claim, Join, JoinReply, Publish, PublishReply, ReachReply
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.signed import Signed
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Need, require
from waypost_lab.conformance.peer import Identity, Party
from waypost_lab.conformance.residents import Resident, fresh_key

AREA = Area()


async def newcomer(bench: Bench, address: str, key: SigningKey | None = None) -> Party:
    """A device that no account lists, which may ask Join."""
    link = await bench.party(Identity(Role.DEVICE, address, key or fresh_key()))
    await link.greet()
    return link


def listed(address: str, identity: SigningKey, sequence: int, *devices: bytes) -> bytes:
    """A signed device list."""
    return sign_device_list(DeviceList(1, address, identity.public, sequence, devices), identity)


def packed_list(identity: SigningKey, fields: Sequence[Any], purpose: Purpose = Purpose.DEVICE_LIST) -> bytes:
    """A device list with any contents, signed for whatever."""
    payload = pack(tuple(fields))
    return pack(Signed(payload, identity.sign(purpose, payload)))


@AREA.persons("DIR-3 DIR-5", "a token that was used is invite-invalid (401) for another device")
async def used_token(bench: Bench, alice: Resident, _bob: Resident) -> None:
    link = await newcomer(bench, alice.address)
    devices = listed(alice.address, alice.identity, 2, alice.key.public, link.own.key.public)
    await link.answered(Join(alice.token, devices), Code.INVITE_INVALID)


@AREA.check("DIR-5", "so is a token that nobody has given out")
async def unknown_token(bench: Bench) -> None:
    address = f"eve@{bench.node.name}"
    link = await newcomer(bench, address)
    devices = listed(address, fresh_key(), 1, link.own.key.public)
    await link.answered(Join(secrets.token_bytes(16), devices), Code.INVITE_INVALID)


@AREA.persons(
    "DIR-5 DIR-3",
    "so are a token under another account's address, and a list that does not name the device",
    Need.SPARE,
)
async def misused_token(bench: Bench, alice: Resident, bob: Resident) -> None:
    token = _spare(bench)
    link = await newcomer(bench, bob.address)
    devices = listed(bob.address, bob.identity, 2, bob.key.public, link.own.key.public)
    await link.answered(Join(token, devices), Code.INVITE_INVALID)
    link = await newcomer(bench, alice.address)
    await link.answered(Join(token, listed(alice.address, alice.identity, 2, alice.key.public)), Code.INVITE_INVALID)


def _spare(bench: Bench) -> bytes:
    guests = bench.site.guests
    if guests is None or guests.spare is None:
        raise ValueError("a check that needs a further invite must say so")
    return guests.spare.token


@AREA.check("DIR-5", "Join on a node's link is forbidden (402)")
async def join_of_a_node(bench: Bench) -> None:
    peer = await bench.peer()
    devices = listed(f"eve@{bench.node.name}", fresh_key(), 1, peer.own.key.public)
    await peer.answered(Join(secrets.token_bytes(16), devices), Code.FORBIDDEN)


@AREA.persons(
    "DIR-4 DIR-5 WIRE-21",
    "a device list that is forged, of another address or with a device twice is bad-request (400)",
)
async def bad_lists(bench: Bench, alice: Resident, bob: Resident) -> None:
    link = await bench.device(alice.as_device)
    key, device = alice.identity, alice.key.public
    right = (1, alice.address, key.public, 5, [device])
    for devices in (
        b"no list",
        packed_list(fresh_key(), right),
        packed_list(key, right, Purpose.KEY_PACKAGE),
        packed_list(key, (1, bob.address, *right[2:])),
        packed_list(key, (*right[:4], [device, device])),
        packed_list(key, (2, *right[1:])),
        packed_list(key, (*right[:4], [device, *(fresh_key().public for _ in range(6))])),
    ):
        await link.answered(Join(alice.token, devices), Code.BAD_REQUEST)


@AREA.persons(
    "DIR-6", "a further list must be of the same identity, keep all devices, and have a higher sequence", Need.SPARE
)
async def further_lists(bench: Bench, alice: Resident, bob: Resident) -> None:
    token = _spare(bench)
    link = await newcomer(bench, alice.address)
    new = link.own.key.public

    async def refused(devices: bytes, code: Code) -> None:
        await link.answered(Join(token, devices), code)

    await refused(listed(alice.address, fresh_key(), 9, alice.key.public, new), Code.OTHER_IDENTITY)
    await refused(listed(alice.address, alice.identity, 1, alice.key.public, new), Code.CONFLICT)
    await refused(listed(alice.address, alice.identity, 9, new), Code.CONFLICT)
    # A device belongs to one account.
    stolen = await newcomer(bench, alice.address, bob.key)
    devices = listed(alice.address, alice.identity, 9, alice.key.public, bob.key.public)
    await stolen.answered(Join(token, devices), Code.FORBIDDEN)


@AREA.persons("DIR-7", "the same Join again, from the same device, gets the same answer")
async def join_again(bench: Bench, alice: Resident, _bob: Resident) -> None:
    link = await bench.device(alice.as_device)
    answer = await link.answered(Join(alice.token, alice.device_list(), "conformance checker"))
    reply, first = read(answer.body, JoinReply), bench.site.joined
    require(first is not None and (reply.address, reply.epoch) == (first.address, first.epoch), f"{reply}")


@AREA.people(
    "DIR-14", "the epoch of Hello, Join and Publish is one (that a restored node has another is beyond the checker)"
)
async def one_epoch(bench: Bench, alice: Party, _bob: Party) -> None:
    hello, _body = await alice.their_hello()
    reply = read((await alice.answered(Publish(secrets.token_bytes(16), hello.epoch, ()))).body, PublishReply)
    joined = bench.site.joined
    require(joined is not None and reply.epoch == hello.epoch == joined.epoch, "they differ")


# ── consent ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@AREA.people("DIR-27", "Reach sets and shows the word; what makes no sense is bad-request (400) and changes nothing")
async def reach(_bench: Bench, alice: Party, _bob: Party) -> None:

    async def shown() -> ReachReply:
        return read((await alice.answered(AskReach("show"))).body, ReachReply)

    names = ("finch.example", "heron.local")
    await alice.answered(AskReach("some", names))
    require(await shown() == ReachReply("some", names), f"after `some`: {await shown()}")
    for wrong in (
        AskReach("some"),
        AskReach("all", names),
        AskReach("none", names),
        AskReach("ALL"),
        AskReach(""),
        AskReach("some", ("Finch.Example",)),
        AskReach("some", ("finch",)),
    ):
        await alice.answered(wrong, Code.BAD_REQUEST)
    require(await shown() == ReachReply("some", names), "a request that was refused has changed the word")
    await alice.answered(AskReach("none"))
    require((await shown()).mode == "none", f"after `none`: {await shown()}")
    await alice.answered(AskReach("all"))
    require((await shown()).mode == "all", f"after `all`: {await shown()}")


@AREA.check("DIR-27", "Reach from a node is forbidden (402)")
async def reach_of_a_node(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.answered(AskReach("show"), Code.FORBIDDEN)


@AREA.people("DIR-19", "the refusal of a claim tells nothing: not-found (300) for all that it stands for")
async def not_found(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    addresses = (bob.own.name, f"n{secrets.token_hex(5)}@{bench.node.name}", f"eve@{peer.own.name}", "", "@")
    await bob.answered(AskReach("none"))
    try:
        claims = [Claim(secrets.token_bytes(16), address, ("x",)) for address in addresses]
        answers = [await peer.answered(claim, Code.NOT_FOUND) for claim in claims]
    finally:
        await bob.answered(AskReach("all"))
    seen = {(answer.text, answer.body, answer.signature) for answer in answers}
    require(len(seen) == 1, f"the answers differ: {seen}")
