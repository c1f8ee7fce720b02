"""The demonstration itself: what happens, told while it happens."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from waypost.cli.sentences import step
from waypost.cli.shapes import ProfileStep
from waypost.cli.tables import console, table
from waypost.cli.words import moment, reason, remedy
from waypost.client import Client, Message, Sent, SentState, connect, join
from waypost.errors import Code, LocalError, WaypostError
from waypost.protocol.operator import AddUser, GetStatus, TraceStep, Why
from waypost_lab.cli.demo_nodes import DemoNode

_DISCOVERY_S: Final = 5.0
_LINK_S: Final = 8.0
_MESSAGE_S: Final = 10.0


@dataclass
class Result:
    """A message of the demonstration, and how it ended."""

    what: str
    sender: str
    recipient: str
    expected: SentState
    id: str = ""
    state: str = "lost"
    code: int = 0
    seconds: float = 0.0
    trace: dict[str, tuple[TraceStep, ...] | tuple[ProfileStep, ...]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return self.state == self.expected.value


class Play:
    """See the module. `place` is an empty directory."""

    def __init__(self, place: Path, *, quiet: bool, stay: bool, static: bool) -> None:
        self._place = place
        self._quiet = quiet
        self._stay = stay
        self._static = static
        self._birdy = DemoNode("birdy.local", place / "birdy")
        self._finch = DemoNode("finch.local", place / "finch")
        self._console = console()
        self._results: list[Result] = []
        self._discovery = "none"
        self._readable: list[str] = []
        self._began = 0.0
        self._took = 0.0
        self._complete = False

    @property
    def is_good(self) -> bool:
        return self._complete and all(result.is_good for result in self._results) and not self._readable

    def summary(self) -> dict[str, Any]:
        """For --json."""
        return {
            "good": self.is_good,
            "discovery": self._discovery,
            "seconds": round(self._took, 2),
            "delivered": sum(result.state == "delivered" for result in self._results),
            "bounced": sum(result.state == "bounced" for result in self._results),
            "readable_on_nodes": self._readable,
            "messages": [
                {
                    "what": result.what,
                    "id": result.id,
                    "from": result.sender,
                    "to": result.recipient,
                    "state": result.state,
                    "expected": result.expected.value,
                    "code": result.code,
                    "seconds": round(result.seconds, 3),
                    "trace": result.trace,
                }
                for result in self._results
            ],
        }

    async def perform(self) -> None:
        """Everything. Foreseeable trouble ends it early, with a word about it."""
        self._began = trio.current_time()
        try:
            await self._start()
            await self._meet()
            await self._join()
            async with self._apps() as (alice, bob):
                await self._converse(alice, bob)
                await self._outage(alice, bob)
                await self._bounce(alice)
            self._look_for_plaintext()
            self._complete = True
            self._took = trio.current_time() - self._began
            self._conclude()
            if self._stay:
                await self._wait_for_guests()
        finally:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._birdy.stop)
                nursery.start_soon(self._finch.stop)

    # ── acts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        self._title("Two providers start their nodes")
        if self._static:
            self._birdy.introduce()
            self._finch.introduce()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._birdy.start)
            nursery.start_soon(self._finch.start)
        if self._static:
            await self._introduce()
        for node in (self._birdy, self._finch):
            status = await node.ask(GetStatus())
            self._say(f"{node.name} listens at 127.0.0.1 port {node.port}; its key has the fingerprint")
            self._say(f"  {status.fingerprint}")

    async def _meet(self) -> None:
        self._title("They find each other")
        begun = trio.current_time()
        if not self._static:
            if await self._linked(_DISCOVERY_S):
                self._discovery = "mdns"
                self._say(
                    "By mDNS, with no configuration: each pinned the other's key at first sight, "
                    f"linked {trio.current_time() - begun:.1f} s after the start."
                )
                return
            self._say("Multicast is not to be had on this machine, so each is told of the other in its configuration.")
            await self._introduce()
        if not await self._linked(_LINK_S):
            raise LocalError(Code.UNREACHABLE, f"the nodes did not link; {self._birdy.last_words()}")
        self._discovery = "static"
        self._say("Linked, by the configured addresses.")

    async def _introduce(self) -> None:
        self._birdy.introduce(self._finch)
        self._finch.introduce(self._birdy)
        for node in (self._birdy, self._finch):
            await node.stop()
            await node.start()

    async def _linked(self, within_s: float) -> bool:
        with trio.move_on_after(within_s):
            while True:
                found = [await node.ask(GetStatus()) for node in (self._birdy, self._finch)]
                if all(any(peer.linked for peer in status.peers) for status in found):
                    return True
                await trio.sleep(0.05)
        return False

    async def _join(self) -> None:
        self._title("Each provider invites a user, whose app joins")
        for node, user in ((self._birdy, "alice"), (self._finch, "bob")):
            added = await node.ask(AddUser(user))
            address = await join(added.invite, self._place / user, label="demo")
            self._say(f"{address} has joined by invite and published key packages; the keys were made by the app.")

    @asynccontextmanager
    async def _apps(self) -> AsyncIterator[tuple[Client, Client]]:
        async with AsyncExitStack() as stack:
            alice = await stack.enter_async_context(connect(self._place / "alice"))
            bob = await stack.enter_async_context(connect(self._place / "bob"))
            yield alice, bob

    async def _converse(self, alice: Client, bob: Client) -> None:
        self._title("A conversation, both ways")
        said = "Hello Bob, can you read this?"
        await self._message("first contact", alice, bob, said)
        await self._message("the answer", bob, alice, "I can, Alice. Nobody in between can.")

    async def _outage(self, alice: Client, bob: Client) -> None:
        self._title("One node is away for a while")
        await self._finch.stop()
        self._say("finch.local is stopped. Alice writes all the same:")
        begun = trio.current_time()
        result, sent = await self._send("sent while the other node was stopped", alice, bob.address, "Are you there?")
        if sent is None:
            return
        with trio.move_on_after(_MESSAGE_S):
            status = await sent.reached(SentState.ACCEPTED, SentState.WAITING)
            self._say(f"  {status.state.value}: birdy.local keeps it until finch.local is back.")
        await self._finch.start()
        self._say("finch.local is back.")
        back = trio.current_time()
        await self._await(result, sent, bob, begun)
        self._say(f"  {trio.current_time() - back:.1f} s after the return.")
        await self._trace(result, sent)

    async def _bounce(self, alice: Client) -> None:
        self._title("A message that cannot be delivered comes back with its reason")
        begun = trio.current_time()
        result, sent = await self._send(
            "to nobody", alice, "nobody@finch.local", "Is anybody called nobody?", SentState.BOUNCED
        )
        if sent is not None:
            await self._await(result, sent, None, begun)
            if result.code:
                self._say(f"  {reason(result.code)}. {remedy(result.code)}")
            await self._trace(result, sent)

    # ── one message ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _message(self, what: str, sender: Client, recipient: Client, text: str) -> None:
        begun = trio.current_time()
        result, sent = await self._send(what, sender, recipient.address, text)
        if sent is not None:
            await self._await(result, sent, recipient, begun)
            await self._trace(result, sent)

    async def _send(
        self, what: str, sender: Client, to: str, text: str, expected: SentState = SentState.DELIVERED
    ) -> tuple[Result, Sent | None]:
        result = Result(what, sender.address, to, expected)
        self._results.append(result)
        self._say(f"{sender.address} → {to}: “{text}”")
        try:
            return result, await sender.send(to, text)
        except WaypostError as error:
            self._say(f"  could not be sent: {error}")
            return result, None

    async def _await(self, result: Result, sent: Sent, recipient: Client | None, begun: float) -> None:
        """Until the sender knows how it ended, and the recipient has read it."""
        with trio.move_on_after(_MESSAGE_S):
            if recipient is not None:
                message = await self._read(recipient)
                shown = message.text if message.text is not None else message.error
                self._say(f"  {recipient.address} reads: “{shown}”")
            async for status in sent.states():
                result.state, result.code = status.state.value, status.code
        result.id, result.seconds = sent.id, trio.current_time() - begun
        self._say(f"  {result.state} after {result.seconds:.2f} s, as {result.sender} was told.")

    async def _read(self, recipient: Client) -> Message:
        async for message in recipient.inbox():
            return message
        raise AssertionError("an inbox that follows does not end")

    async def _trace(self, result: Result, sent: Sent) -> None:
        for node in (self._birdy, self._finch):
            try:
                found = await node.ask(Why(result.id))
            except WaypostError as error:
                if error.code is not Code.UNKNOWN_MESSAGE:
                    raise
                continue
            result.trace[node.name] = found.rows
        lines = [(row.at_ms, name, step(row)) for name, rows in result.trace.items() for row in rows]
        if not lines:
            # Without the recipient's keys there is no envelope, so only the app knows of it.
            history = await sent.history()
            known = tuple(ProfileStep(each.at_ms, each.state, each.code) for each in history)
            lines = [(row.at_ms, "the app", step(row)) for row in known]
            result.trace["app"] = known
        self._say(f"  The trace of {result.id}:")
        for at_ms, name, words in sorted(lines, key=lambda line: line[0]):
            self._say(f"    {moment(at_ms)}  {name:12}  {words}", style="dim")

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_for_plaintext(self) -> None:
        """What a thief of the nodes' disks would find."""
        for node in (self._birdy, self._finch):
            stored = node.stored_bytes()
            if any(word in stored for word in (b"can you read this", b"Nobody in between", b"Are you there")):
                self._readable.append(node.name)

    def _conclude(self) -> None:
        self._title("The end")
        if not self._quiet:
            rows = [
                (
                    "as it should" if result.is_good else f"NOT {result.expected.value}",
                    result.what,
                    result.sender,
                    result.recipient,
                    result.state,
                    f"{result.seconds:.2f} s",
                )
                for result in self._results
            ]
            self._console.print(table(("", "message", "from", "to", "state", "#after"), rows))
        self._say(
            f"READABLE ON THE DISKS OF: {', '.join(self._readable)}"
            if self._readable
            else "None of the texts is to be found in either node's database."
        )
        verdict = "Everything ended as it should" if self.is_good else "NOT everything ended as it should"
        self._say(f"{verdict}, in {self._took:.1f} s.", style="bold green" if self.is_good else "bold red")

    async def _wait_for_guests(self) -> None:
        place = self._place
        self._title("The nodes stay up until you press Ctrl-C. In another terminal:")
        command = sys.argv[0] if sys.argv[0].endswith("waypost") else "waypost"
        for line in (
            f'send bob@finch.local "hi" --profile {place}/alice',
            f"inbox --follow --profile {place}/bob",
            f"status --watch --state {self._birdy.state.path}",
            f"user add carol --state {self._finch.state.path}",
            f"why MESSAGE-ID --state {self._birdy.state.path}",
        ):
            self._say(f"  {command} {line}")
        while self._birdy.is_running and self._finch.is_running:  # noqa: ASYNC110 - nothing tells us
            await trio.sleep(0.5)
        self._say("A node has ended by itself, so the demonstration ends too.")

    def _title(self, text: str) -> None:
        if not self._quiet:
            self._console.print(f"\n{trio.current_time() - self._began:5.1f} s  {text}", style="bold", markup=False)

    def _say(self, text: str, style: str = "") -> None:
        if not self._quiet:
            self._console.print(f"         {text}", style=style or None, markup=False, soft_wrap=True)
