"""Who stands between two sides, or in the place of one, is refused; and the operator is told why and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from scripts.support.nodes import Node, two_nodes
from tests.process.support import (
    MALLORY,
    arrived,
    change_key,
    killed,
    logged,
    peer_at,
    peer_of,
    people,
    proxy,
    start,
    until,
    waypost,
)

from waypost.client import join as enter
from waypost.errors import Code, PeerFault
from waypost.links import tcp
from waypost.links.pump import Pump, greet
from waypost.protocol.directory.invite import Invite, invite_text, parse_invite
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.session import Closed, Event
from waypost_lab.driver import Account, Link, join, tls_of, wall_ms


@contextmanager
def alone(where: Path) -> Iterator[Node]:
    node = Node("birdy.local", where)
    node.start()
    try:
        yield node
    finally:
        killed(node)


def leading_to(invite: str, port: int) -> str:
    """The same invite, as somebody who controls the network would have it: with another endpoint."""
    was = parse_invite(invite)
    now = Invite(
        was.version, was.address, was.token, was.node_key, (RecordEndpoint("127.0.0.1", port),), was.expires_ms
    )
    return invite_text(now)


async def test_a_proxy_between_two_nodes(tmp_path: Path) -> None:
    finch = Node("finch.local", tmp_path)
    birdy = Node("birdy.local", tmp_path)
    try:
        await start(finch)
        async with proxy(finch.port) as port:
            birdy.reconfigure(peer_at("finch.local", port))
            await start(birdy)
            async with people(birdy, finch) as (alice, book):
                await until(logged(birdy, "finch.local", "ends TLS", Code.BAD_PROOF.remedy))
                alice.allow(3)
                with trio.move_on_after(3):
                    await arrived(book, 1)
                assert not book.shown
                assert all(letter.fate is None for letter in book.letters)
                finch_now = await peer_of(birdy, "finch.local")
                assert (finch_now["code"], finch_now["linked"]) == (Code.BAD_PROOF.number, False)
                assert "ends TLS" in finch_now["error"]
                assert not finch_now["key"], "a key was pinned through the proxy"
                assert "ends TLS" in await waypost(birdy, "queue")

                # The remedy: connect directly.
                await trio.to_thread.run_sync(birdy.stop)
                birdy.reconfigure(peer_at("finch.local", finch.port))
                await start(birdy)
                await arrived(book, 3)
                assert book.holds
    finally:
        killed(birdy, finch)


async def test_a_proxy_between_device_and_node(tmp_path: Path) -> None:
    with alone(tmp_path) as node:
        invite, unused = await trio.to_thread.run_sync(node.invite, "alice", "carol")
        account = await join(invite, b"a" * 32)
        async with proxy(node.port) as port:
            link = Link(Account(account.address, account.seed, "127.0.0.1", port), tls_of(account.key, "device"))
            with pytest.raises(PeerFault) as caught:
                await link.open(lambda _events: None)
            assert caught.value.code is Code.BAD_PROOF
            with pytest.raises(PeerFault) as caught:
                await enter(leading_to(unused, port), tmp_path / "carol")
            assert caught.value.code is Code.BAD_PROOF
        assert not (tmp_path / "carol" / "profile").exists()
        # The invite has not been used up by that.
        assert await enter(unused, tmp_path / "carol") == "carol@birdy.local"


async def test_another_node_in_the_place_of_ours(tmp_path: Path) -> None:
    with alone(tmp_path) as node:
        [invite] = await trio.to_thread.run_sync(node.invite, "alice")
        await trio.to_thread.run_sync(node.kill)
        change_key(node)
        await start(node)
        with pytest.raises(PeerFault) as caught:
            await enter(invite, tmp_path / "alice")
        assert caught.value.code is Code.WRONG_PEER


async def test_a_peer_whose_key_has_changed(tmp_path: Path) -> None:
    with two_nodes(tmp_path) as (birdy, finch):
        async with people(birdy, finch) as (alice, book):
            alice.allow(1)
            await arrived(book, 1)
            before = json.loads(await waypost(finch, "peers", "fingerprint", "--json"))["fingerprint"]
            await trio.to_thread.run_sync(finch.kill)
            change_key(finch)
            await start(finch)
            alice.allow(4)
            await until(lambda: len(book.accepted) == 4)
            await until(logged(birdy, "finch.local", before, "waypost peers pin finch.local"))
            after = json.loads(await waypost(finch, "peers", "fingerprint", "--json"))["fingerprint"]
            assert logged(birdy, before, after)()
            await waypost(birdy, "queue", "retry", "finch.local")
            finch_now = await peer_of(birdy, "finch.local")
            assert (finch_now["fingerprint"], finch_now["linked"]) == (before, False)
            assert finch_now["code"] == Code.KEY_CHANGED.number
            assert before in finch_now["error"]
            assert after in finch_now["error"]
            assert not logged(birdy, "unforeseen trouble")()
            assert book.shown == 1

            # The remedy, once the other operator has read out the digits.
            await waypost(birdy, "peers", "pin", "finch.local", *after.split())
            await arrived(book, 4, seconds=5)
            assert book.holds
            assert (await peer_of(birdy, "finch.local"))["trust"] == "pinned"


async def last_words(port: int, name: str) -> Closed:
    """What a node says to somebody who proves MALLORY's key under that name."""
    stream = await tcp.connect("127.0.0.1", port, tls_of(MALLORY, "mallory"))
    handshake = Handshake(Own(Role.NODE, name, MALLORY), stream.channel, wall_ms())
    await greet(stream, handshake)
    events: list[Event] = []
    # It may have come together with the end of the handshake: the session knows, the stream does not.
    with trio.fail_after(10):
        await Pump(stream, handshake.finish(trio.current_time()), events.extend).run()
    closed = events[-1]
    assert isinstance(closed, Closed)
    return closed


async def test_who_claims_a_pinned_name_is_refused_and_the_real_one_stays(tmp_path: Path) -> None:
    with two_nodes(tmp_path) as (birdy, finch):
        async with people(birdy, finch) as (alice, book):
            alice.allow(1)
            await arrived(book, 1)
            key = (await peer_of(birdy, "finch.local"))["key"]
            assert (await last_words(birdy.port, "finch.local")).code == Code.KEY_CHANGED.number
            assert (await last_words(birdy.port, "birdy.local")).code == Code.NAME_IN_USE.number
            finch_now = await peer_of(birdy, "finch.local")
            assert (finch_now["key"], finch_now["linked"]) == (key, True)
            assert logged(birdy, "link refused", "finch.local", "waypost peers pin finch.local")()
            alice.allow(5)
            await arrived(book, 5)
