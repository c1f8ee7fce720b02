"""Networks for tests: real nodes and real clients in this process, names for everyone, faults as methods.

async with lab.network("birdy", "finch") as net:
    alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
    net.cut("birdy", "finch")
    sent = await alice.send(bob.address, "hi")
    net.heal()
    await sent.delivered()
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from waypost.client import Client
from waypost.errors import Code, LocalError
from waypost.ids import Provider, parse_id
from waypost.protocol.directory.asks import TrackReply
from waypost.protocol.directory.reach import BY_DEFAULT, reach_of
from waypost.storage.memory.apply import answer
from waypost.storage.operations.accounts import Device
from waypost.storage.operations.base import Operation
from waypost.storage.operations.keys import PackagesLeft
from waypost_lab.app import App
from waypost_lab.clock import LabClock
from waypost_lab.durable import Disk
from waypost_lab.fabric import Fabric
from waypost_lab.faults.fabric import FabricFaults
from waypost_lab.machine import Machine, Make
from waypost_lab.names import full_address, full_name, full_node
from waypost_lab.profile import key_of
from waypost_lab.running import Surroundings, User
from waypost_lab.timeline import AnyEvent, LinkState


class Network(FabricFaults):
    """See the module. Made by `network`. Nodes and users are named shortly: `birdy`, `alice@birdy`.

    A node that is not there, or is down where it must be up, is a LocalError(BAD_CONFIG or NOT_RUNNING).
    """

    def __init__(self, nursery: trio.Nursery, rng: random.Random, directory: Path) -> None:
        super().__init__(Fabric(rng), self._tell)
        self._nursery = nursery
        self._rng = rng
        self._users: dict[str, User] = {}
        self._keys_of: dict[str, dict[bytes, None]] = {}  #: of the devices that have joined, by address
        self._around = Surroundings(self.fabric, rng, directory, nursery)
        #: Told of what happens to nodes, links and paths: lines of a timeline.
        self.on_event: Callable[[AnyEvent], None] = lambda _event: None
        #: Told of each line of a node's log: its name, the level, the event, the fields.
        self.on_log: Callable[[str, str, str, dict[str, Any]], None] = lambda *_line: None
        #: Told of what has become durable, before anyone is answered: the node's name, the operation and
        #: what it returned or raised.
        self.on_commit: Callable[[str, Operation[Any], Any], None] = lambda *_commit: None

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def node(self, make: str | Make) -> Machine:
        """A further node, which everyone hears of. Raises LocalError(BAD_CONFIG) for a name that is taken."""
        made = make if isinstance(make, Make) else Make(full_node(make), key_of(full_node(make)))
        if made.name in self.machines:
            raise LocalError(Code.BAD_CONFIG, f"there are two nodes {made.name}")
        machine = Machine(made, self.fabric, self._rng, self._nursery)
        machine.log = lambda level, event, fields: self._heard(made.name, level, event, dict(fields))
        machine.observer = _Commits(made.name, self)
        self.machines[made.name] = machine
        await self.start(made.name)
        return machine

    async def start(self, name: str) -> None:
        """Start a node that is down, and let all nodes hear of each other, as discovery would."""
        machine = self.machine(name)
        if machine.is_up:
            return
        await machine.start()
        self._tell_state(machine.name, "up")
        for other in self.machines.values():
            if other is not machine and other.is_up:
                machine.introduce(other.name)
                other.introduce(machine.name)

    async def stop(self, name: str) -> None:
        """In good order, as SIGTERM does; returns when the node has ended."""
        await self.machine(name).stop()
        self._tell_state(full_node(name), "down")

    async def leave(self, name: str, moved_to: str = "") -> None:
        """For good: the node leaves a tombstone with every peer that it can reach, and ends."""
        machine = self._running(name)
        await machine.leave(full_node(moved_to) if moved_to else "")
        self._tell_state(machine.name, "gone")

    def linked(self, one: str, other: str) -> bool:
        """Whether the first has a link to the second."""
        machine, peer = self.machine(one), full_node(other)
        known = machine.relay.peers.get(peer) if machine.is_up else None
        return known is not None and known.link is not None

    # ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def client(self, address: str) -> Client:
        """The user's client: joined the first time, the same one as long as it runs, and else opened again."""
        user = self.user(address)
        if user.is_light or user.app is not None:
            raise LocalError(Code.BAD_CONFIG, f"{address} has a light app: choose another user for the SDK")
        return user.client or await user.run_client(await self._invite_for(user))

    async def app(self, address: str) -> App:
        """A light app in place of the SDK: honest, not encrypted, and cheap enough for thousands of messages."""
        user = self.user(address)
        if user.joined and not user.is_light:
            raise LocalError(Code.BAD_CONFIG, f"{address} has the SDK's client: choose another user for the light app")
        return user.app or await user.run_app(await self._invite_for(user))

    async def close(self, address: str) -> None:
        """End the user's program in good order; `client` or `app` starts it again."""
        await self.user(address).close()

    async def kill(self, address: str) -> None:
        """End it as if its process had died."""
        await self.user(address).kill()

    async def invite(self, address: str) -> str:
        """An invite, for an app that joins by itself; a further one if the user is there already."""
        whole = full_address(address)
        name, _, node = whole.rpartition("@")
        return await self._running(node).relay.add_user(name, again=True)

    async def reach(self, address: str, mode: str, *providers: str) -> None:
        """Who of other providers may write to the user: `all`, `none`, or `some`, which are named."""
        name, _, node = full_address(address).rpartition("@")
        relay = self._running(node).relay
        user = relay.accounts.get(name)
        try:
            reach = reach_of(mode, tuple(full_node(each) for each in providers))
        except ValueError:
            reach = BY_DEFAULT
        if user is None or reach == BY_DEFAULT:
            raise LocalError(Code.BAD_CONFIG, f"reach of {address}: {mode} {' '.join(providers)}".rstrip())
        await relay.accounts.change_reach(user, reach)

    async def renew(self, address: str) -> None:
        """The operator starts over with a user: account and keys are removed, the next app joins with a new profile."""
        user = self.user(address)
        await user.close()
        name, _, node = user.address.rpartition("@")
        await self._running(node).relay.remove_user(name)
        self._users[user.address] = User(user.address, self._around, user.clock, user.profiles + 1)

    def user(self, address: str) -> User:
        """Whoever that is, joined or not."""
        whole = full_address(address)
        self.machine(whole.rpartition("@")[2])
        if whole not in self._users:
            self._users[whole] = User(whole, self._around)
        return self._users[whole]

    async def _invite_for(self, user: User) -> str:
        return "" if user.joined else await self.invite(user.address)

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def waiting(self, node: str, whom: str) -> int:
        """How many messages wait at a node for another node, or for a user: what is kept back for later included."""
        machine, whole = self.machine(node), full_name(whom)
        owners = {key.hex() for key in self._keys_of.get(whole, ())} if "@" in whole else {whole}
        return sum(info.usage.items for info in await machine.disk.mailboxes() if info.owner in owners)

    async def why(self, message: str) -> dict[str, TrackReply]:
        """What each running node knows of a message, by the id that `Sent.sealed` gives: its state, reason and trace.

        Nodes that have never seen it are left out. Raises Refused(UNKNOWN_MESSAGE) for what is no id.
        """
        id_ = parse_id(message)
        found = {}
        for machine in self.machines.values():
            if machine.is_up and await machine.disk.trace(id_):
                found[machine.name.removesuffix(".local")] = await machine.relay.tracks.find(id_)
        return found

    async def keys_left(self, address: str) -> int:
        """One-time key packages that the user's node can still give out."""
        whole = full_address(address)
        machine = self.machine(whole.rpartition("@")[2])
        disk = machine.disk
        now_ms = machine.clock.wall_ms()
        asked = [PackagesLeft(key, now_ms) for key in self._keys_of.get(whole, ())]
        if isinstance(disk, Disk):
            return sum(answer(disk.state, each) for each in asked)
        store = self._running(machine.name).relay.store
        return sum([await store.read(each) for each in asked])

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for it; looks a hundred times a second. Raises trio.TooSlowError."""
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110 - a test may wait for anything
                await trio.sleep(0.01)

    # ── the inside ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def end(self) -> None:
        """Close all programs in good order, then all nodes. `network` does it."""
        for user in self._users.values():
            await user.close()
        for machine in self.machines.values():
            await machine.stop()

    def joined(self, address: str, device: bytes) -> None:
        """A device has joined. A node's store says it."""
        self._keys_of.setdefault(address, {})[device] = None

    def _tell(self, event: AnyEvent) -> None:
        self.on_event(event)

    def _clock_of(self, user: str) -> LabClock:
        return self.user(user).clock

    def _heard(self, node: Provider, level: str, event: str, fields: dict[str, Any]) -> None:
        if event in ("link up", "link down"):
            peer = str(fields.get("peer", ""))
            self.on_event(LinkState(t=trio.current_time(), a=node, b=peer, up=event == "link up"))
        self.on_log(node, level, event, fields)


@dataclass(frozen=True)
class _Commits:
    """What a node's store tells."""

    node: str
    net: Network

    def committed(self, operation: Operation[Any], result: Any) -> None:
        if isinstance(result, Device):
            self.net.joined(f"{result.user}@{self.node}", result.key)
        self.net.on_commit(self.node, operation, result)


@asynccontextmanager
async def network(*nodes: str | Make, seed: int = 0, directory: Path | None = None) -> AsyncIterator[Network]:
    """Nodes that run and know of each other, while the block runs; under trio, in real or in virtual time.

    `seed` decides what chance decides. `directory` keeps the profiles of clients; without, they are removed at the end.
    An error in the block comes out as it is. Raises LocalError(UNSUPPORTED) under asyncio: nodes need trio.
    """
    if not trio.lowlevel.in_trio_task():
        raise LocalError(
            Code.UNSUPPORTED, "nodes run under trio only: for an app on asyncio, start real ones with waypost lab up"
        )
    with tempfile.TemporaryDirectory(prefix="waypost-lab-") as scratch:
        try:
            async with trio.open_nursery() as nursery:
                net = Network(nursery, random.Random(seed), directory or Path(scratch))
                for each in nodes:
                    await net.node(replace(each, name=full_node(each.name)) if isinstance(each, Make) else each)
                yield net
                await net.end()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _only(group) from None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error in it if there is but one: a test need not know of the nursery."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
