"""Key packages: Publish and Claim, [DIR-8] to [DIR-20] of docs/protocol/directory.md."""

from __future__ import annotations

import secrets
from typing import Final

import trio

from waypost.clock import DAY_MS
from waypost.crypto.keys import Purpose, SigningKey, verify
from waypost.errors import Code, PeerFault
from waypost.ids import parse_address
from waypost.limits import PACKAGES_PER_DEVICE_MAX, SUITES_PER_CLAIM_MAX
from waypost.protocol.directory.asks import Claim, ClaimAnswer, ClaimReply, DeviceKeys, Publish, PublishReply
from waypost.protocol.directory.bundle import Bundle, DevicePackage, open_claim, sign_package
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Answer
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Need, fail, require
from waypost_lab.conformance.peer import Party
from waypost_lab.conformance.residents import fresh_key

AREA = Area()

_PEOPLE: Final = (Need.PEOPLE,)
_MANY: Final = 12


def suite() -> str:
    """One that no other check uses."""
    return f"x-{secrets.token_hex(8)}"


def package(bench: Bench, key: SigningKey, of: str, *, last_resort: bool = False, lives_ms: int = DAY_MS) -> bytes:
    """A signed key package."""
    init = secrets.token_bytes(32)
    return sign_package(DevicePackage(1, of, key.public, init, bench.wall_ms() + lives_ms, last_resort), key)


async def publish(link: Party, packages: list[bytes], last_resort: bytes = b"", upload: bytes | None = None) -> int:
    """How many one-time packages the node has of this device then."""
    hello, _ = await link.their_hello()
    ask = Publish(upload or secrets.token_bytes(16), hello.epoch, tuple(packages), last_resort)
    return read((await link.answered(ask)).body, PublishReply).left


async def left(link: Party) -> int:
    return await publish(link, [])


async def claimed(link: Party, address: str, *suites: str, request: bytes | None = None) -> ClaimReply:
    """The reply to a claim on a node's or a device's link, whose signatures hold."""
    request = request or secrets.token_bytes(16)
    answer = await link.answered(Claim(request, address, suites))
    node, _ = await link.their_hello()
    if "@" in link.own.name:
        whole = read(answer.body, ClaimAnswer)
    else:
        whole = ClaimAnswer(answer.body, answer.signature, node.record)
    _open(link, whole, address, request)
    return read(whole.reply, ClaimReply)


def _open(link: Party, whole: ClaimAnswer, address: str, request: bytes) -> Bundle:
    try:
        return open_claim(whole, parse_address(address), request, link.wall_ms())
    except PeerFault as fault:
        fail(f"the bundle does not hold: {fault}")


def only(reply: ClaimReply) -> DeviceKeys:
    require(len(reply.devices) == 1, f"{len(reply.devices)} devices in the reply, 1 in the list")
    return reply.devices[0]


@AREA.people("DIR-10 DIR-8", "packages of other devices, forged, misdeclared or short-lived ones are bad-request (400)")
async def bad_packages(bench: Bench, alice: Party, _bob: Party) -> None:
    key, of, epoch = alice.own.key, suite(), bench.node.epoch
    before = await left(alice)
    stranger = fresh_key()
    forged = DevicePackage(1, of, key.public, b"", bench.wall_ms() + DAY_MS, last_resort=False)
    right = package(bench, key, of)
    one_time = (
        package(bench, stranger, of),
        sign_package(forged, stranger),
        package(bench, key, of, last_resort=True),
        package(bench, key, of, lives_ms=50_000),
        b"no package",
    )
    for wrong in one_time:
        await alice.answered(Publish(secrets.token_bytes(16), epoch, (right, wrong)), Code.BAD_REQUEST)
    for wrong in (right, package(bench, stranger, of, last_resort=True)):
        await alice.answered(Publish(secrets.token_bytes(16), epoch, (), wrong), Code.BAD_REQUEST)
    require(await left(alice) == before, "a request that was refused has left packages behind")


@AREA.check("DIR-10", "Publish from a node is forbidden (402)")
async def publish_of_a_node(bench: Bench) -> None:
    peer = await bench.peer()
    ask = Publish(secrets.token_bytes(16), bench.node.epoch, (package(bench, peer.own.key, "x"),))
    await peer.answered(ask, Code.FORBIDDEN)


@AREA.people("DIR-11", "Publish for another epoch changes nothing, and is told the node's")
async def another_epoch(bench: Bench, alice: Party, _bob: Party) -> None:
    before = await left(alice)
    ask = Publish(secrets.token_bytes(16), bench.node.epoch + 1, (package(bench, alice.own.key, suite()),))
    reply = read((await alice.answered(ask)).body, PublishReply)
    require(reply.epoch == bench.node.epoch, f"it is told epoch {reply.epoch}")
    require(reply.left == before == await left(alice), "packages for another epoch were taken")


@AREA.people("DIR-12", "the same upload again changes nothing, issued or not; with other contents it is conflict (404)")
async def same_upload(bench: Bench, alice: Party, bob: Party) -> None:
    of, upload = suite(), secrets.token_bytes(16)
    packages = [package(bench, alice.own.key, of) for _ in range(2)]
    before = await left(alice)
    require(await publish(alice, packages, upload=upload) == before + 2, "not two more packages")
    require(await publish(alice, packages, upload=upload) == before + 2, "the same upload was added again")
    issued = only(await claimed(bob, alice.own.name, of)).package
    require(await publish(alice, packages, upload=upload) == before + 1, "an issued package was added again")
    other = (packages[0], package(bench, alice.own.key, of))
    await alice.answered(Publish(upload, bench.node.epoch, other), Code.CONFLICT)
    require(only(await claimed(bob, alice.own.name, of)).package != issued, "a package was issued twice")


@AREA.people("DIR-13", "more than 100 one-time packages of a device are quota (405); a newer last-resort one replaces")
async def quotas(bench: Bench, _alice: Party, bob: Party) -> None:
    key, of = bob.own.key, suite()
    room = PACKAGES_PER_DEVICE_MAX - await left(bob)
    packages = tuple(package(bench, key, of) for _ in range(PACKAGES_PER_DEVICE_MAX))
    if room < PACKAGES_PER_DEVICE_MAX:
        await bob.answered(Publish(secrets.token_bytes(16), bench.node.epoch, packages), Code.QUOTA)
    await publish(bob, list(packages[:room]))
    one_more = Publish(secrets.token_bytes(16), bench.node.epoch, (package(bench, key, of),))
    await bob.answered(one_more, Code.QUOTA)
    # Make room again for the other checks, and see that replacing a last-resort package is no matter of room.
    lasts = [package(bench, key, of, last_resort=True) for _ in range(2)]
    for last in lasts:
        await publish(bob, [], last)
    peers = [await bench.peer() for _ in range(3)]
    for number in range(room):
        only(await claimed(peers[number % 3], bob.own.name, of))
    given = only(await claimed(peers[0], bob.own.name, of))
    require((given.state, given.package) == ("last-resort", lasts[1]), "not the newer last-resort package is served")


@AREA.people("DIR-13", "nor may they be of more than 8 suites")
async def too_many_suites(bench: Bench, alice: Party, _bob: Party) -> None:
    of = tuple(package(bench, alice.own.key, suite()) for _ in range(SUITES_PER_CLAIM_MAX + 1))
    await alice.answered(Publish(secrets.token_bytes(16), bench.node.epoch, of), Code.QUOTA)


@AREA.people(
    "DIR-16 DIR-17",
    "the first suite's packages go in the order of their upload, each once, then its last-resort package",
)
async def in_order(bench: Bench, alice: Party, bob: Party) -> None:
    first, second = suite(), suite()
    packages = [package(bench, alice.own.key, first) for _ in range(3)]
    last = package(bench, alice.own.key, first, last_resort=True)
    for each in packages:
        await publish(alice, [each])
    await publish(alice, [package(bench, alice.own.key, second)], last)
    peer = await bench.peer()
    given = [only(await claimed(link, alice.own.name, first, second)) for link in (bob, peer, bob, peer, bob)]
    require([each.package for each in given] == [*packages, last, last], "they come in another order, or twice")
    states = [each.state for each in given]
    require(states == ["one-time"] * 3 + ["last-resort"] * 2, f"states {states}")
    other = only(await claimed(bob, alice.own.name, second, first))
    require(other.state == "one-time", "the suite asked for first does not go first")


@AREA.people("DIR-16", "without a package of the suites asked for: exhausted, or incompatible")
async def without_packages(bench: Bench, alice: Party, bob: Party) -> None:
    of = suite()
    await publish(alice, [package(bench, alice.own.key, of)])
    await claimed(bob, alice.own.name, of)
    spent = only(await claimed(bob, alice.own.name, of))
    require(not spent.package and spent.state in {"exhausted", "incompatible"}, f"{spent.state}")
    none = only(await claimed(bob, alice.own.name, suite()))
    require((none.state, none.package) == ("incompatible", b""), f"{none.state}")


@AREA.people("DIR-17", "claims at once get a package each, none twice")
async def at_once(bench: Bench, alice: Party, bob: Party) -> None:
    of = suite()
    await publish(alice, [package(bench, alice.own.key, of) for _ in range(_MANY)])
    peer = await bench.peer()
    given: list[bytes] = []

    async def claim(link: Party) -> None:
        given.append(only(await claimed(link, alice.own.name, of)).package)

    async with trio.open_nursery() as nursery:
        for number in range(_MANY):
            nursery.start_soon(claim, bob if number % 2 else peer)
    require(len(set(given)) == _MANY and all(given), f"{len(set(given))} packages for {_MANY} claims")


@AREA.check("DIR-17", "a package that has expired is not issued", *_PEOPLE, takes_s=100)
async def expired_package(bench: Bench) -> None:
    of = suite()
    async with bench.people() as (alice, _):
        key, address = alice.own.key, alice.own.name
        short = [package(bench, key, of, lives_ms=65_000)]
        await publish(alice, short, package(bench, key, of, last_resort=True, lives_ms=65_000))
    await trio.sleep(67)
    peer = await bench.peer()
    given = only(await claimed(peer, address, of))
    require(not given.package, f"it was issued, as {given.state}")


@AREA.people(
    "DIR-18", "the same request gets the same reply and uses up nothing; with other contents it is conflict (404)"
)
async def same_request(bench: Bench, alice: Party, bob: Party) -> None:
    of, request = suite(), secrets.token_bytes(16)
    await publish(alice, [package(bench, alice.own.key, of) for _ in range(3)])
    before = await left(alice)
    peer = await bench.peer()
    for link in (peer, bob):
        first = await claimed(link, alice.own.name, of, request=request)
        require(await claimed(link, alice.own.name, of, request=request) == first, "the replies differ")
        await link.answered(Claim(request, alice.own.name, (suite(),)), Code.CONFLICT)
    require(await left(alice) == before - 2, f"{before - await left(alice)} packages for two requests")
    again = await bench.peer(peer.own)
    reply = await claimed(again, alice.own.name, of, request=request)
    require(await left(alice) == before - 2 and only(reply).package, "another link makes another request of it")


@AREA.people("DIR-18 DIR-20", "the answer to a node is signed by the node, that to a device holds it with its record")
async def who_signs(bench: Bench, alice: Party, bob: Party) -> None:
    request = secrets.token_bytes(16)
    peer = await bench.peer()
    answer: Answer = await peer.answered(Claim(request, alice.own.name, (suite(),)))
    verify(bench.node.key, Purpose.ANSWER, answer.body, answer.signature)
    to_device = await bob.answered(Claim(request, alice.own.name, (suite(),)))
    require(not to_device.signature, "the Answer to a device has a signature of its own")
    whole = read(to_device.body, ClaimAnswer)
    require(_open(bob, whole, alice.own.name, request).node_key == bench.node.key, "another node's record")
