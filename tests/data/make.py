"""Makes two nodes and three profiles with mail at every stage; `python tests/data/make.py NAME` writes NAME.*.

README.md beside this tells what is in them. It runs on the command line and the SDK alone, so it works in any checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from waypost.client import Client, SentState, Status, connect, join

HERE = Path(__file__).parent
PASSPHRASE = "a passphrase for tests alone"
PACKAGES_KEPT = 3
_THIN_OUT = """
DELETE FROM package WHERE last_resort = 0 AND ? < (
    SELECT count(*) FROM package AS older
    WHERE older.device = package.device AND older.last_resort = 0 AND older.id <= package.id
)"""
NODES = {"birdy.local": "finch.local", "finch.local": "birdy.local"}
PEOPLE = {"alice": "birdy.local", "carol": "birdy.local", "bob": "finch.local", "dan": "finch.local"}

Json = dict[str, Any]


class Node:
    """A node as its operator has it."""

    def __init__(self, name: str, where: Path) -> None:
        self.state = where / name
        self.name = name
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.ask("init", name)

    def configure(self, peer_port: int, limits: str) -> None:
        """Takes effect at the next start."""
        peer = f'[[peers]]\nprovider = "{NODES[self.name]}"\nendpoint = "127.0.0.1:{peer_port}"\n'
        self.state.joinpath("waypost.toml").write_text(
            f'name = "{self.name}"\nlisten = ["127.0.0.1:{self.port}"]\npolicy = "open"\nreach = "all"\n'
            f"{peer if peer_port else ''}[mdns]\nenabled = false\n[limits]\naccount_burst = 500\n{limits}"
        )

    def ask(self, *verb: str) -> Json:
        command = [sys.executable, "-m", "waypost", *verb, "--state", str(self.state), "--json"]
        found: Json = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return found

    def start(self) -> None:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(self.state), "--ready-fd", str(writing)]
        self._process = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
        os.close(writing)
        with os.fdopen(reading) as ready:
            self.port = json.loads(ready.readline())["ports"][0]

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None


class World:
    """`told` is what the nodes and apps said while it was made; it goes to NAME.json."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.birdy, self.finch = (Node(name, where) for name in NODES)
        self.told: Json = {"passphrases": {"carol": PASSPHRASE}, "sent": [], "unread": {}, "waiting": {}}

    def passphrase(self, who: str) -> str | None:
        found: str | None = self.told["passphrases"].get(who)
        return found

    @asynccontextmanager
    async def app(self, who: str, *, online: bool = True) -> AsyncIterator[Client]:
        async with connect(self.where / who, self.passphrase(who)) as me:
            if online:
                await me.connected()
            yield me

    async def send(self, who: str, me: Client, to: str, *texts: str, until: Callable[[Status], bool]) -> None:
        """Send, and wait for each until it has come so far."""
        for text in texts:
            sent = await me.send(to, text)
            async for status in sent.states():
                if until(status):
                    break
            self.told["sent"].append({"by": who, "to": to, "text": text, "id": sent.id, "is_sealed": sent.is_sealed})

    async def look(self, what: Callable[[], bool]) -> None:
        """Wait for what nobody tells of."""
        with anyio.fail_after(60):
            while not await to_thread.run_sync(what):  # noqa: ASYNC110
                await anyio.sleep(0.1)


def reached(*states: SentState) -> Callable[[Status], bool]:
    return lambda status: status.state in states


def put_off(status: Status) -> bool:
    return status.state is SentState.WAITING and bool(status.code)


DELIVERED = reached(SentState.DELIVERED)
HELD = reached(SentState.HELD)
ACCEPTED = reached(SentState.ACCEPTED, SentState.WAITING)
WRITTEN = reached(SentState.QUEUED)


async def populate(world: World) -> None:
    """Accounts, devices, and first messages that were read."""
    invites = {}
    for who, at in PEOPLE.items():
        invites[who] = _node(world, at).ask("user", "add", who)["invite"]
    world.told["invite"] = world.birdy.ask("user", "add", "dora")["invite"]
    for who, invite in invites.items():
        await join(invite, world.where / who, label=f"{who}'s", passphrase=world.passphrase(who))
    world.birdy.ask("user", "reach", "alice", "finch.local", "wren.local")
    world.birdy.ask("user", "reach", "carol", "all")
    world.birdy.ask("peers", "allow", "finch.local")
    world.birdy.ask("peers", "block", "wren.local")
    async with world.app("alice") as alice, world.app("bob") as bob, world.app("carol") as carol:
        apps = {"alice": alice, "bob": bob, "carol": carol}
        for one, other in (("alice", "bob"), ("bob", "carol"), ("carol", "alice")):
            for sender, reader in ((one, other), (other, one)):
                to = f"{reader}@{PEOPLE[reader]}"
                await world.send(sender, apps[sender], to, f"read, {sender} to {reader}", until=DELIVERED)
                async for _ in apps[reader].inbox(follow=False):
                    pass


async def fill(world: World) -> None:
    """Mail of every kind that waits."""
    told = world.told
    told["unread"] = {"alice": ["fetched 1", "fetched 2 ✓"], "bob": ["held 1", "held 2"], "carol": ["kept 1", "kept 2"]}
    async with world.app("alice") as alice:
        async with world.app("bob") as bob:
            await world.send("bob", bob, "alice@birdy.local", *told["unread"]["alice"], until=DELIVERED)
        # Two fill bob's mailbox at his node, two are put off.
        await world.send("alice", alice, "bob@finch.local", "held 1", "held 2", until=HELD)
        await world.send("alice", alice, "bob@finch.local", "put off 1", "put off 2", until=put_off)
    async with world.app("bob") as bob:
        # That he has them now is news which waits for alice.
        await world.look(lambda: not world.finch.ask("user", "list")["users"][0]["waiting"])
        await world.send("bob", bob, "alice@birdy.local", "waits 1", "waits 2", "waits 3", until=HELD)
        await world.send("bob", bob, "carol@birdy.local", *told["unread"]["carol"], until=HELD)
    async with world.app("dan") as dan:
        await world.send("dan", dan, "bob@finch.local", "next door 1", "next door 2", until=ACCEPTED)
    world.finch.stop()
    async with world.app("carol") as carol:
        # She takes what waits, and the news of that waits for bob's node.
        await world.look(lambda: not _waiting(world.birdy, "carol"))
        await world.send("carol", carol, "bob@finch.local", "outbox 1", "outbox 2", until=ACCEPTED)
        await world.send("carol", carol, "alice@birdy.local", "waits 4", until=ACCEPTED)
    told["waiting"] = {
        "alice": ["waits 1", "waits 2", "waits 3", "waits 4"],
        "bob": ["put off 1", "put off 2", "next door 1", "next door 2", "outbox 1", "outbox 2"],
        "carol": [],
    }
    told["users"], told["peers"] = world.birdy.ask("user", "list"), world.birdy.ask("peers")
    told["queue"] = world.birdy.ask("queue")
    told["why"] = [
        world.birdy.ask("why", sent["id"]) for sent in told["sent"] if not sent["text"].startswith("next door")
    ]


async def write_offline(world: World) -> None:
    """Messages that no node has: with the recipient's keys, so with an envelope, and without."""
    told = world.told
    told["unsent"] = {
        "alice": ["unsent 2", "unsent 4"],
        "bob": ["unsent 1", "unsent 3"],
        "eve": ["for eve, who has no keys yet"],
    }
    async with world.app("alice", online=False) as me:
        await world.send("alice", me, "bob@finch.local", "unsent 1", until=WRITTEN)
        await world.send("alice", me, "eve@finch.local", *told["unsent"]["eve"], until=WRITTEN)
    async with world.app("carol", online=False) as me:
        await world.send("carol", me, "alice@birdy.local", "unsent 2", until=WRITTEN)
        await world.send("carol", me, "bob@finch.local", "unsent 3", until=WRITTEN)
    async with world.app("bob", online=False) as me:
        await world.send("bob", me, "alice@birdy.local", "unsent 4", until=WRITTEN)
    told["journal"], told["safety"] = {}, {}
    for who, other in (("alice", "bob@finch.local"), ("carol", "alice@birdy.local"), ("bob", "carol@birdy.local")):
        async with world.app(who, online=False) as me:
            told["safety"][who] = {other: await me.safety_number(other)}
            told["journal"][who] = {
                sent["id"]: [
                    [status.state.value, status.at_ms, status.code]
                    for status in await (await me.sent(sent["id"])).history()
                ]
                for sent in told["sent"]
                if sent["by"] == who
            }


def pack(world: World, name: str) -> None:
    """Databases without a log beside them; of each device's packages a few, as if others had claimed the rest."""
    told = world.told
    told["made_ms"] = time.time_ns() // 1_000_000
    told["ports"] = {node.name: node.port for node in (world.birdy, world.finch)}
    shutil.rmtree(world.where / "dan")
    for file in world.where.rglob("*.db"):
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            if file.name == "waypost.db":
                database.execute(_THIN_OUT, (PACKAGES_KEPT,))
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for pattern in ("*-wal", "*-shm", "*.sock"):
        for file in world.where.rglob(pattern):
            file.unlink()
    with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as archive:
        archive.add(world.where, ".", filter=_anonymous)
    HERE.joinpath(f"{name}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _node(world: World, name: str) -> Node:
    return world.birdy if name == world.birdy.name else world.finch


def _waiting(node: Node, user: str) -> int:
    found = {each["address"].partition("@")[0]: each["waiting"] for each in node.ask("user", "list")["users"]}
    return int(found[user])


async def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        try:
            for node in (world.birdy, world.finch):
                node.configure(0, "")
                node.start()
                node.stop()
            world.birdy.configure(world.finch.port, "")
            world.finch.configure(world.birdy.port, "mailbox_max_envelopes = 2\n")
            world.birdy.start()
            world.finch.start()
            await populate(world)
            await fill(world)
        finally:
            world.birdy.stop()
            world.finch.stop()
        world.finch.configure(world.birdy.port, "")
        await write_offline(world)
        pack(world, name)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend="trio")
