"""What must outlive a crash of the node: it is killed and started again in the middle. The last checks but one."""

from __future__ import annotations

import secrets

import trio

from waypost.crypto.keys import envelope_id
from waypost.errors import Code
from waypost.protocol.directory.asks import Claim, Join
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, Need, Phase, require
from waypost_lab.conformance.keys import claimed, only, package, publish, suite
from waypost_lab.conformance.peer import PAUSE_S
from waypost_lab.conformance.residents import Resident

AREA = Area()


@AREA.persons(
    "CUST-1 CUST-2 CUST-10",
    "what was acknowledged is there after a crash, is handed on then, and is known by its id",
    Need.RESTART,
    takes_s=60,
    stage=Phase.ALONE,
)
async def acknowledged(bench: Bench, _alice: Resident, bob: Resident) -> None:
    peer = await bench.peer()
    made = [bench.envelope(f"eve@{peer.own.name}", bob.address) for _ in range(20)]
    refused_with(await peer.offer(*made[:10]), *[None] * 10)
    refused_with(await peer.offer(*made[10:]), *[None] * 10)
    await bench.ground.restart()
    again = await bench.peer(peer.own)
    refused_with(await again.offer(*made), *[None] * 20)
    link = await bench.device(bob.as_device)
    for envelope in made:
        await link.arrives(envelope_id(envelope))
    await link.lives()
    await trio.sleep(PAUSE_S)
    twice = [envelope for envelope in made if link.offered(envelope_id(envelope)) != 1]
    require(not twice, f"{len(twice)} of {len(made)} were offered to the device more than once")


@AREA.persons(
    "DIR-3 DIR-12 DIR-17 DIR-18 LINK-22",
    "so are used invites, uploads, issued packages, answers to claims, and the keys of peers",
    Need.RESTART,
    takes_s=60,
    stage=Phase.ALONE,
)
async def remembered(bench: Bench, alice: Resident, _bob: Resident) -> None:
    of, upload, request = suite(), secrets.token_bytes(16), secrets.token_bytes(16)
    device = await bench.device(alice.as_device)
    packages = [package(bench, alice.key, of) for _ in range(2)]
    before = await publish(device, packages, upload=upload)
    own = bench.stranger()
    reply = await claimed(await bench.peer(own), alice.address, of, request=request)
    await bench.ground.restart()
    device = await bench.device(alice.as_device)
    require(
        await publish(device, packages, upload=upload) == before - 1,
        "an upload was forgotten, or issued ones are back",
    )
    peer = await bench.peer(own)
    require(await claimed(peer, alice.address, of, request=request) == reply, "an answered claim was forgotten")
    fresh = only(await claimed(peer, alice.address, of))
    require(fresh.package != only(reply).package, "a package was issued twice")
    await peer.answered(Claim(request, alice.address, (suite(),)), Code.CONFLICT)
    await device.answered(Join(alice.token, alice.device_list(), "conformance checker"))
