"""What a running box looks like: one object, for tables, for programs, and for the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio
from msgspec.structs import asdict

from waypost.errors import WaypostError
from waypost.protocol.operator import GetStatus, NodeStatus
from waypost_lab.box.answers import LabLink, LabNode, LabNow, NodeFigures
from waypost_lab.box.box import Box, Member
from waypost_lab.timeline import LinkState, Queue

_ASKS_AT_ONCE: Final = 8
_RECORD_EVERY_S: Final = 1.0


@dataclass
class View:
    """Looks at a box again and again; rates are since the last look."""

    box: Box
    _before: dict[str, NodeStatus] = field(default_factory=dict)
    _before_s: float = 0.0
    _linked: dict[tuple[str, str], bool] = field(default_factory=dict)
    _queues: dict[tuple[str, str], int] = field(default_factory=dict)

    async def look(self) -> LabNow:
        """The nodes and their links as of now; see docs/lab.md for the fields."""
        box = self.box
        now_s, statuses = box.now, await self._statuses()
        span = now_s - self._before_s
        memory = await trio.to_thread.run_sync(
            lambda: {name: member.process.memory() for name, member in box.members.items()}
        )
        nodes = []
        for name, member in box.members.items():
            status, before = statuses.get(name), self._before.get(name)
            held = memory[name]
            nodes.append(
                LabNode(
                    name=name,
                    state=_state(member),
                    pid=member.process.pid if member.process.is_running else None,
                    endpoint=f"127.0.0.1:{member.front.port}",
                    rss=held.rss if held else 0,
                    pss=held.pss if held else 0,
                    error=_error(member, status),
                    **asdict(_figures(status, before, span)),
                )
            )
        links = tuple(self._links(statuses, span))
        self._before, self._before_s = statuses, now_s
        users = len(box.accounts)
        return LabNow(box.plan.title, str(box.home.path), round(now_s, 1), users, tuple(nodes), links)

    async def _statuses(self) -> dict[str, NodeStatus]:
        found: dict[str, NodeStatus] = {}
        places = trio.CapacityLimiter(_ASKS_AT_ONCE)

        async def ask(member: Member) -> None:
            async with places:
                # It may have ended, or been frozen, meanwhile; that shows in its state.
                with suppress(WaypostError):
                    found[member.name] = await member.process.ask(GetStatus())

        async with trio.open_nursery() as nursery:
            for member in self.box.members.values():
                if member.process.listening is not None:
                    nursery.start_soon(ask, member)
        return found

    def _links(self, statuses: dict[str, NodeStatus], span: float) -> Iterator[LabLink]:
        faults = self.box.network.faults()
        for name in self.box.members:
            peers = {peer.provider: peer for peer in statuses[name].peers} if name in statuses else {}
            past = {peer.provider: peer.given for peer in self._before[name].peers} if name in self._before else {}
            for other in self.box.members:
                if other == name:
                    continue
                peer, way = peers.get(other), faults.get((name, other))
                given = peer.given if peer else 0
                yield LabLink(
                    source=name,
                    to=other,
                    state=peer.state.value if peer else "unknown",
                    linked=peer is not None and peer.linked,
                    waiting=peer.waiting if peer else 0,
                    given=given,
                    given_per_s=_rate(given, past.get(other, 0), span),
                    fault=way.words() if way else "",
                    error=peer.error if peer and not peer.linked else "",
                )

    async def record(self) -> None:
        """Note in the timeline what changes, every second, until cancelled."""
        while True:
            await trio.sleep(_RECORD_EVERY_S)
            seen = await self.look()
            for link in seen.links:
                pair = (link.source, link.to)
                if pair[0] < pair[1] and self._linked.get(pair, False) is not link.linked:
                    self._linked[pair] = link.linked
                    self.box.note(LinkState(t=self.box.now, a=pair[0], b=pair[1], up=link.linked))
                if self._queues.get(pair, 0) != link.waiting:
                    self._queues[pair] = link.waiting
                    self.box.note(Queue(t=self.box.now, node=pair[0], peer=pair[1], items=link.waiting))


def _state(member: Member) -> str:
    return "died" if member.has_died else member.state.value


def _error(member: Member, status: NodeStatus | None) -> str:
    if member.has_died:
        return f"ended by itself ({member.process.exit_code}): {member.process.last_words()}"
    peers = (peer for peer in (status.peers if status else ()) if peer.code and not peer.linked)
    last = max(peers, key=lambda peer: peer.failed_ms, default=None)
    return f"{last.provider}: {last.error}" if last else ""


def _figures(status: NodeStatus | None, before: NodeStatus | None, span: float) -> NodeFigures:
    if status is None:
        return NodeFigures()
    given, given_before = (sum(peer.given for peer in each.peers) if each else 0 for each in (status, before))
    return NodeFigures(
        users=status.users,
        devices=status.devices_connected,
        links=sum(peer.linked for peer in status.peers),
        waiting=sum(peer.waiting for peer in status.peers),
        stored=status.store.envelopes,
        accepted=status.totals.accepted,
        refused=status.totals.refused,
        accepted_per_s=_rate(status.totals.accepted, before.totals.accepted if before else 0, span),
        given_per_s=_rate(given, given_before, span),
    )


def _rate(count: int, before: int, span: float) -> float:
    """A restarted node counts from zero again."""
    return round(max(0, count - before) / span, 1) if span > 0 else 0.0
