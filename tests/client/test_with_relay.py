"""The SDK against real relays: in virtual time over memory links, and over TLS under both event loops."""

import threading
from pathlib import Path

import anyio
import pytest
import structlog
import trio
from tests.client.node import inline
from tests.links.support import BACKENDS, run, run_virtual, signing_key, tls_config
from tests.relay.world import World

from waypost.client import Client, Message, Parts, SentState, connect, join
from waypost.daemon.build import SystemClock, TlsNetwork
from waypost.errors import Code, Refused
from waypost.ids import Provider
from waypost.links.tcp import listen, port_of, serve
from waypost.protocol.directory.reach import EVERYONE
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode
from waypost.relay.node import Relay
from waypost.relay.settings import ConfiguredPeer, Platform, Settings
from waypost.storage.memory.engine import MemoryStore

BIRDY, FINCH = "birdy.local", "finch.local"
ALICE, BOB = f"alice@{BIRDY}", f"bob@{FINCH}"


def parts(world: World, node: str) -> Parts:
    clock = world.nodes[node].clock
    return Parts(lambda *_: world.net.dial, clock.wall_ms, offload=inline)


async def two_nodes(world: World) -> None:
    await world.node(BIRDY)
    await world.node(FINCH)
    world.introduce(BIRDY, FINCH)
    world.introduce(FINCH, BIRDY)


async def next_of(me: Client) -> Message:
    return await anext(me.inbox())


def played(scene, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A scene in a world with two nodes, alice at one and bob at the other."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            world = World(nursery)
            await two_nodes(world)
            for node, user in ((BIRDY, "alice"), (FINCH, "bob")):
                invite = await world.nodes[node].relay.add_user(user)
                await join(invite, tmp_path / user, parts=parts(world, node))
            await scene(world)
            nursery.cancel_scope.cancel()

    run_virtual(main)


def test_alice_and_bob_write_to_each_other(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        async with (
            connect(tmp_path / "alice", parts=parts(world, BIRDY)) as alice,
            connect(tmp_path / "bob", parts=parts(world, FINCH)) as bob,
        ):
            sent = await alice.send(BOB, "hi bob")
            message = await next_of(bob)
            assert (message.sender, message.text) == (ALICE, "hi bob")
            await sent.delivered()
            assert sent.id == message.id
            states = [status.state for status in await sent.history()]
            assert states[0] is SentState.QUEUED
            assert states[-1] is SentState.DELIVERED
            assert SentState.ACCEPTED in states
            assert (await alice.track(sent.id))[0].event == "accepted"
            reply = await bob.send(ALICE, "hi alice")
            assert (await next_of(alice)).text == "hi alice"
            await reply.delivered()
            assert await alice.safety_number(BOB) == await bob.safety_number(ALICE)
            assert (await alice.reach("none")).mode == "none"

    played(scene, tmp_path)


def test_a_message_to_nobody_bounces(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        async with connect(tmp_path / "alice", parts=parts(world, BIRDY)) as alice:
            for nobody in (f"nobody@{FINCH}", f"nobody@{BIRDY}"):
                sent = await alice.send(nobody, "hello?")
                with pytest.raises(Refused) as refused:
                    await sent.delivered()
                assert refused.value.code is Code.NOT_FOUND

    played(scene, tmp_path)


def test_nodes_that_die_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        shown: list[str | None] = []
        async with connect(tmp_path / "alice", parts=parts(world, BIRDY)) as alice:
            first = await alice.send(BOB, "0")
            await first.reached(SentState.ACCEPTED)
            for number in range(1, 10):
                node = (BIRDY, FINCH)[number % 2]
                store = world.kill(node)
                await alice.send(BOB, str(number))
                await anyio.sleep(20)
                await world.node(node, store=store)
                world.introduce(BIRDY, FINCH)
                world.introduce(FINCH, BIRDY)
            last = await alice.send(BOB, "10")
            async with connect(tmp_path / "bob", parts=parts(world, FINCH)) as bob:
                async for message in bob.inbox():
                    shown.append(message.text)
                    if len(shown) == 11:
                        break
                await last.delivered()
                assert [message async for message in bob.inbox(follow=False)] == []
            assert sorted(shown, key=lambda text: int(text or -1)) == [str(number) for number in range(11)]

    played(scene, tmp_path)


class Nodes:
    """Two relays on loopback TLS in a thread of their own, since they need trio. `invites`: of alice and of bob."""

    def __init__(self) -> None:
        self.invites: list[str] = []
        self._ready = threading.Event()
        self._stop = trio.Event()
        self._token: trio.lowlevel.TrioToken
        self._thread = threading.Thread(target=lambda: run("trio", self._main))

    def __enter__(self) -> list[str]:
        self._thread.start()
        assert self._ready.wait(30)
        return self.invites

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        names = [Provider(BIRDY), Provider(FINCH)]
        listeners = [await listen("127.0.0.1", 0) for _ in names]
        endpoints = [(RecordEndpoint("127.0.0.1", port_of(listener)),) for listener in listeners]
        async with trio.open_nursery() as nursery:
            for number, (name, user) in enumerate(zip(names, ("alice", "bob"), strict=True)):
                other = ConfiguredPeer(names[1 - number], endpoints[1 - number])
                settings = Settings(name, Mode.OPEN, EVERYONE, endpoints=endpoints[number], peers=(other,))
                config = tls_config(number + 1)
                log = structlog.wrap_logger(None, processors=[_drop])
                surroundings = Platform(SystemClock(), TlsNetwork(config), log)
                relay = Relay(settings, signing_key(number + 1), MemoryStore(), surroundings)
                await nursery.start(relay.run)
                nursery.start_soon(serve, listeners[number], relay.accept, config)
                self.invites.append(await relay.add_user(user))
            self._ready.set()
            await self._stop.wait()
            nursery.cancel_scope.cancel()


def _drop(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_conversation_over_tls(backend: str, tmp_path: Path) -> None:
    async def main(invites: list[str]) -> None:
        for invite, user in zip(invites, ("alice", "bob"), strict=True):
            await join(invite, tmp_path / user)
        async with connect(tmp_path / "alice") as alice, connect(tmp_path / "bob") as bob:
            sent = [await alice.send(BOB, str(number)) for number in range(20)]
            inbox = bob.inbox()
            assert [(await anext(inbox)).text for _ in sent] == [str(number) for number in range(20)]
            for each in sent:
                await each.delivered()
            reply = await bob.send(ALICE, "got them")
            assert (await next_of(alice)).text == "got them"
            await reply.delivered()

    with Nodes() as invites:
        run(backend, lambda: main(invites))
