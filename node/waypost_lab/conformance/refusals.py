"""Whom a node takes what from: the table of checks and [CUST-16] to [CUST-18] of custody.md."""

from __future__ import annotations

import secrets

import trio

from waypost.clock import MINUTE_MS
from waypost.crypto.keys import envelope_id
from waypost.errors import Code, describe
from waypost.protocol.directory.asks import AskReach, Claim
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, require
from waypost_lab.conformance.peer import PAUSE_S, Party

AREA = Area()


def nobody(bench: Bench) -> str:
    """An address of the node's that does not exist."""
    return f"n{secrets.token_hex(6)}@{bench.node.name}"


@AREA.check("CUST-16 CUST-15", "from a peer: forged-sender (304), not-ours (303), not-found (300), in this order")
async def from_a_peer(bench: Bench) -> None:
    peer = await bench.peer()
    mine, other = f"eve@{peer.own.name}", f"eve@{bench.stranger().name}"
    old = bench.wall_ms() - 10 * MINUTE_MS
    refused = await peer.offer(
        bench.envelope(other, nobody(bench)),
        bench.envelope(f"eve@{bench.node.name}", nobody(bench)),
        bench.envelope("no address", nobody(bench)),
        bench.envelope(other, f"x@{bench.stranger().name}", created_ms=old, expires_s=1),
        bench.envelope(mine, f"x@{bench.stranger().name}", created_ms=old, expires_s=1),
        bench.envelope(mine, f"x@{bench.stranger().name}"),
        bench.envelope(mine, nobody(bench)),
    )
    forged = [Code.FORGED_SENDER] * 4
    refused_with(refused, *forged, Code.EXPIRED, Code.NOT_OURS, Code.NOT_FOUND)


@AREA.check("CUST-17", "nothing is carried between two other providers, not even between linked ones")
async def no_transit(bench: Bench) -> None:
    one, other = await bench.peer(), await bench.peer()
    envelope = bench.envelope(f"eve@{one.own.name}", f"x@{other.own.name}")
    refused_with(await one.offer(envelope), Code.NOT_OURS)
    await trio.sleep(PAUSE_S)
    require(not other.offered(envelope_id(envelope)), "it was carried all the same")


@AREA.people(
    "CUST-16",
    "from a device: forged-sender (304) for anyone but its account, not-found (300), provider-unknown (307)",
    takes_s=18,
)
async def from_a_device(bench: Bench, alice: Party, bob: Party) -> None:
    mine, nowhere = alice.own.name, f"x@{bench.stranger().name}"
    refused = await alice.offer(
        bench.envelope(bob.own.name, nobody(bench)),
        bench.envelope(f"eve@{bench.stranger().name}", nobody(bench)),
        bench.envelope(mine.upper(), nobody(bench)),
        bench.envelope(mine, nobody(bench)),
    )
    refused_with(refused, *[Code.FORGED_SENDER] * 3, Code.NOT_FOUND)
    await _unknown_provider(alice, bench.envelope(mine, nowhere))


async def _unknown_provider(alice: Party, envelope: bytes) -> None:
    for _ in range(15):
        refused = await alice.offer(envelope)
        if refused != {0: Code.UNREACHABLE.number}:
            break
        # While it is not certain.
        await trio.sleep(1)
    refused_with(refused, Code.PROVIDER_UNKNOWN)


@AREA.people(
    "CUST-18", "with several recipients it is taken if anyone can be reached, with an outcome for each of the others"
)
async def several(bench: Bench, alice: Party, bob: Party) -> None:
    lost = nobody(bench)
    envelope = bench.envelope(alice.own.name, lost, bob.own.name)
    refused_with(await alice.offer(envelope), None)
    await bob.arrives(envelope_id(envelope))
    outcome = await alice.told(envelope_id(envelope), Code.NOT_FOUND.number)
    require(outcome.recipient == lost, f"{outcome.recipient} is told to be not found")


@AREA.check("CUST-18", "and refused with the reason of the first if nobody can")
async def several_nobodies(bench: Bench) -> None:
    peer = await bench.peer()
    envelope = bench.envelope(f"eve@{peer.own.name}", nobody(bench), nobody(bench))
    refused_with(await peer.offer(envelope), Code.NOT_FOUND)


@AREA.people(
    "CUST-16 DIR-26", "whoever takes mail from no other provider cannot be found from there, and is found at home"
)
async def consent(bench: Bench, alice: Party, bob: Party) -> None:
    welcome, other = await bench.peer(), await bench.peer()
    links = (alice, welcome, other)
    try:
        await bob.answered(AskReach("none"))
        await _verdicts(bench, bob.own.name, links, (True, False, False))
        await bob.answered(AskReach("some", (welcome.own.name,)))
        await _verdicts(bench, bob.own.name, links, (True, True, False))
    finally:
        with trio.CancelScope(shield=True):
            await bob.answered(AskReach("all"))
    await _verdicts(bench, bob.own.name, links, (True, True, True))


async def _verdicts(bench: Bench, to: str, links: tuple[Party, ...], welcome: tuple[bool, ...]) -> None:
    """Envelopes and claims alike."""
    for link, expected in zip(links, welcome, strict=True):
        sender = link.own.name if "@" in link.own.name else f"eve@{link.own.name}"
        refused_with(await link.offer(bench.envelope(sender, to)), None if expected else Code.NOT_FOUND)
        answer = await link.ask(Claim(secrets.token_bytes(16), to, ("x-check",)))
        found = answer.code != Code.NOT_FOUND.number
        require(found is expected, f"a claim of {link.own.name} is answered with {describe(answer.code)}")
