"""The demonstration itself: what happens, told while it happens."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from waypost.cli.sentences import step
from waypost.cli.shapes import ProfileStep
from waypost.cli.tables import console, table
from waypost.cli.words import moment, reason, remedy
from waypost.client import Client, Sent, SentState, connect, join
from waypost.errors import Code, LocalError, WaypostError
from waypost.protocol.operator import AddUser, GetStatus, TraceStep, Why
from waypost_lab.box.process import NodeProcess

_DISCOVERY_S: Final = 5.0
_LINK_S: Final = 8.0
_MESSAGE_S: Final = 10.0

#: What happens while a message waits; when the node that was away is back.
Away = Callable[[Sent], Awaitable[float]]


@dataclass
class Sending:
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

    def as_json(self) -> dict[str, Any]:
        ends = {"what": self.what, "id": self.id, "from": self.sender, "to": self.recipient}
        end = {"state": self.state, "expected": self.expected.value, "code": self.code}
        return {**ends, **end, "seconds": round(self.seconds, 3), "trace": self.trace}


class Play:
    """See the module. `place` is an empty directory."""

    def __init__(self, place: Path, *, quiet: bool, stay: bool, static: bool) -> None:
        self._place = place
        self._quiet = quiet
        self._stay = stay
        self._static = static
        self._nodes = [NodeProcess(f"{name}.local", place / name) for name in ("birdy", "finch")]
        self._console = console()
        self._results: list[Sending] = []
        self._discovery = "none"
        self._readable: list[str] = []
        self._began = self._took = 0.0
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
            "messages": [result.as_json() for result in self._results],
        }

    async def perform(self) -> None:
        """Everything. Foreseeable trouble ends it early, with a word about it."""
        self._began = trio.current_time()
        try:
            await self._meet()
            await self._join()
            async with connect(self._place / "alice") as alice, connect(self._place / "bob") as bob:
                self._title("A conversation, both ways")
                await self._message("first contact", alice, bob, "Hello Bob, can you read this?")
                await self._message("the answer", bob, alice, "I can, Alice. Nobody in between can.")
                self._title("One node is away for a while")
                what = "sent while the other node was stopped"
                await self._message(what, alice, bob, "Are you there?", self._away)
                self._title("A message that cannot be delivered comes back with its reason")
                await self._message("to nobody", alice, None, "Is anybody called nobody?")
            self._complete = True
            self._took = trio.current_time() - self._began
            self._conclude()
            if self._stay:
                await self._wait_for_guests()
        finally:
            await self._both(NodeProcess.stop)

    # ── the nodes ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _both(self, do: Callable[[NodeProcess], Awaitable[object]]) -> None:
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                nursery.start_soon(do, node)

    async def _start(self, node: NodeProcess) -> None:
        """As a new operator would configure it. Its port is kept over restarts, since the apps' profiles name it."""
        lines = [f'name = "{node.name}"', f'listen = ["127.0.0.1:{node.port}"]']
        for peer in self._nodes if self._static else ():
            if peer is not node and peer.port:
                lines += ["[[peers]]", f'provider = "{peer.name}"', f'endpoint = "127.0.0.1:{peer.port}"']
        lines += ["[mdns]", f"enabled = {str(not self._static).lower()}", 'interfaces = ["127.0.0.1"]']
        await node.start("\n".join(lines) + "\n")

    async def _meet(self) -> None:
        self._title("Two providers start their nodes")
        await self._both(self._start)
        if self._static:
            await self._introduce()
        for node in self._nodes:
            status = await node.ask(GetStatus())
            self._say(f"{node.name} listens at 127.0.0.1 port {node.port}; its key has the fingerprint")
            self._say(f"  {status.fingerprint}")
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
            raise LocalError(Code.UNREACHABLE, f"the nodes did not link; {self._nodes[0].last_words()}")
        self._discovery = "static"
        self._say("Linked, by the configured addresses.")

    async def _introduce(self) -> None:
        self._static = True
        for node in self._nodes:
            await node.stop()
            await self._start(node)

    async def _linked(self, within_s: float) -> bool:
        with trio.move_on_after(within_s):
            while True:
                found = [await node.ask(GetStatus()) for node in self._nodes]
                if all(any(peer.linked for peer in status.peers) for status in found):
                    return True
                await trio.sleep(0.05)
        return False

    async def _join(self) -> None:
        self._title("Each provider invites a user, whose app joins")
        for node, user in zip(self._nodes, ("alice", "bob"), strict=True):
            added = await node.ask(AddUser(user))
            address = await join(added.invite, self._place / user, label="demo")
            self._say(f"{address} has joined by invite and published key packages; the keys were made by the app.")

    # ── one message ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _message(
        self,
        what: str,
        sender: Client,
        to: Client | None,
        text: str,
        away: Callable[..., Awaitable[float]] | None = None,
    ) -> None:
        """Without a recipient it is to nobody, and must come back. `away`: what happens to the other node meanwhile."""
        if away:
            await self._nodes[1].stop()
            self._say("finch.local is stopped. Alice writes all the same:")
        begun = trio.current_time()
        address = to.address if to else "nobody@finch.local"
        result = Sending(what, sender.address, address, SentState.DELIVERED if to else SentState.BOUNCED)
        self._results.append(result)
        self._say(f"{sender.address} → {address}: “{text}”")
        try:
            sent = await sender.send(address, text)
        except WaypostError as error:
            self._say(f"  could not be sent: {error}")
            return
        back = await away(sent) if away else begun
        await self._await(result, sent, to, begun)
        if away:
            self._say(f"  {trio.current_time() - back:.1f} s after the return.")
        if not to and result.code:
            self._say(f"  {reason(result.code)}. {remedy(result.code)}")
        await self._trace(result, sent)

    async def _away(self, sent: Sent) -> float:
        with trio.move_on_after(_MESSAGE_S):
            status = await sent.reached(SentState.ACCEPTED, SentState.WAITING)
            self._say(f"  {status.state.value}: birdy.local keeps it until finch.local is back.")
        await self._start(self._nodes[1])
        self._say("finch.local is back.")
        return trio.current_time()

    async def _await(self, result: Sending, sent: Sent, recipient: Client | None, begun: float) -> None:
        """Until the sender knows how it ended, and the recipient has read it."""
        with trio.move_on_after(_MESSAGE_S):
            if recipient is not None:
                message = await anext(aiter(recipient.inbox()))
                shown = message.text if message.text is not None else message.error
                self._say(f"  {recipient.address} reads: “{shown}”")
            async for status in sent.states():
                result.state, result.code = status.state.value, status.code
        result.id, result.seconds = sent.id, trio.current_time() - begun
        self._say(f"  {result.state} after {result.seconds:.2f} s, as {result.sender} was told.")

    async def _trace(self, result: Sending, sent: Sent) -> None:
        for node in self._nodes:
            try:
                result.trace[node.name] = (await node.ask(Why(result.id))).rows
            except WaypostError as error:
                if error.code is not Code.UNKNOWN_MESSAGE:
                    raise
        if not any(result.trace.values()):
            # Without the recipient's keys there is no envelope, so only the app knows of it.
            history = await sent.history()
            result.trace["app"] = tuple(ProfileStep(each.at_ms, each.state, each.code) for each in history)
        lines = [(row.at_ms, name, step(row)) for name, rows in result.trace.items() for row in rows]
        self._say(f"  The trace of {result.id}:")
        for at_ms, name, words in sorted(lines, key=lambda line: line[0]):
            self._say(f"    {moment(at_ms)}  {'the app' if name == 'app' else name:12}  {words}", style="dim")

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _conclude(self) -> None:
        for node in self._nodes:  # what a thief of their disks would find
            stored = node.stored_bytes()
            if any(word in stored for word in (b"can you read this", b"Nobody in between", b"Are you there")):
                self._readable.append(node.name)
        self._title("The end")
        rows = [
            (
                "as it should" if result.is_good else f"NOT {result.expected.value}",
                *(result.what, result.sender, result.recipient, result.state, f"{result.seconds:.2f} s"),
            )
            for result in self._results
        ]
        if not self._quiet:
            self._console.print(table(("", "message", "from", "to", "state", "#after"), rows))
        self._say(
            f"READABLE ON THE DISKS OF: {', '.join(self._readable)}"
            if self._readable
            else "None of the texts is to be found in either node's database."
        )
        verdict = "Everything ended as it should" if self.is_good else "NOT everything ended as it should"
        self._say(f"{verdict}, in {self._took:.1f} s.", style="bold green" if self.is_good else "bold red")

    async def _wait_for_guests(self) -> None:
        place, (birdy, finch) = self._place, self._nodes
        self._title("The nodes stay up until you press Ctrl-C. In another terminal:")
        command = sys.argv[0] if sys.argv[0].endswith("waypost") else "waypost"
        for line in (
            f'send bob@finch.local "hi" --profile {place}/alice',
            f"inbox --follow --profile {place}/bob",
            f"status --watch --state {birdy.state.path}",
            f"user add carol --state {finch.state.path}",
            f"why MESSAGE-ID --state {birdy.state.path}",
        ):
            self._say(f"  {command} {line}")
        while birdy.is_running and finch.is_running:  # noqa: ASYNC110 - nothing tells us
            await trio.sleep(0.5)
        self._say("A node has ended by itself, so the demonstration ends too.")

    def _title(self, text: str) -> None:
        if not self._quiet:
            self._console.print(f"\n{trio.current_time() - self._began:5.1f} s  {text}", style="bold", markup=False)

    def _say(self, text: str, style: str = "") -> None:
        if not self._quiet:
            self._console.print(f"         {text}", style=style or None, markup=False, soft_wrap=True)
