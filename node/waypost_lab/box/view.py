"""What a running box looks like: one object, for tables, for programs, and for the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from waypost.errors import WaypostError
from waypost.protocol.operator import GetStatus
from waypost_lab.box.box import Box, Member
from waypost_lab.timeline import LinkState, Queue

_ASKS_AT_ONCE: Final = 8
_RECORD_EVERY_S: Final = 1.0
Status = dict[str, Any]


@dataclass
class View:
    """Looks at a box again and again; rates are since the last look."""

    box: Box
    _before: dict[str, Status] = field(default_factory=dict)
    _before_s: float = 0.0
    _linked: dict[tuple[str, str], bool] = field(default_factory=dict)
    _queues: dict[tuple[str, str], int] = field(default_factory=dict)

    async def look(self) -> Status:
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
                {
                    "name": name,
                    "state": _state(member),
                    "pid": member.process.pid if member.process.is_running else None,
                    "endpoint": f"127.0.0.1:{member.front.port}",
                    "rss": held.rss if held else 0,
                    "pss": held.pss if held else 0,
                    **_figures(status, before, span),
                    "error": _error(member, status),
                }
            )
        links = list(self._links(statuses, span))
        self._before, self._before_s = statuses, now_s
        return {
            "title": box.plan.title,
            "directory": str(box.home.path),
            "uptime_s": round(now_s, 1),
            "users": len(box.accounts),
            "nodes": nodes,
            "links": links,
        }

    async def _statuses(self) -> dict[str, Status]:
        found: dict[str, Status] = {}
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

    def _links(self, statuses: dict[str, Status], span: float) -> Iterator[Status]:
        faults = self.box.network.faults()
        for name in self.box.members:
            peers = {peer["provider"]: peer for peer in statuses.get(name, {}).get("peers", ())}
            past = {peer["provider"]: peer for peer in self._before.get(name, {}).get("peers", ())}
            for other in self.box.members:
                if other == name:
                    continue
                peer, before = peers.get(other, {}), past.get(other, {})
                way = faults.get((name, other))
                yield {
                    "from": name,
                    "to": other,
                    "state": peer.get("state", "unknown"),
                    "linked": bool(peer.get("linked")),
                    "waiting": peer.get("waiting", 0),
                    "given": peer.get("given", 0),
                    "given_per_s": _rate(peer.get("given", 0), before.get("given", 0), span),
                    "fault": way.words() if way else "",
                    "error": "" if peer.get("linked") else peer.get("error", ""),
                }

    async def record(self) -> None:
        """Note in the timeline what changes, every second, until cancelled."""
        while True:
            await trio.sleep(_RECORD_EVERY_S)
            seen = await self.look()
            for link in seen["links"]:
                pair, waiting = (link["from"], link["to"]), link["waiting"]
                if pair[0] < pair[1] and self._linked.get(pair, False) is not link["linked"]:
                    self._linked[pair] = link["linked"]
                    self.box.note(LinkState(t=self.box.now, a=pair[0], b=pair[1], up=link["linked"]))
                if self._queues.get(pair, 0) != waiting:
                    self._queues[pair] = waiting
                    self.box.note(Queue(t=self.box.now, node=pair[0], peer=pair[1], items=waiting))


def _state(member: Member) -> str:
    return "died" if member.has_died else member.state.value


def _error(member: Member, status: Status | None) -> str:
    if member.has_died:
        return f"ended by itself ({member.process.exit_code}): {member.process.last_words()}"
    peers = (peer for peer in (status or {}).get("peers", ()) if peer["code"] and not peer["linked"])
    last = max(peers, key=lambda peer: int(peer["failed_ms"]), default=None)
    return f"{last['provider']}: {last['error']}" if last else ""


def _figures(status: Status | None, before: Status | None, span: float) -> Status:
    """What a node says of itself, in short; zeros for one that does not run."""
    if status is None:
        return {
            **dict.fromkeys(("users", "devices", "links", "waiting", "stored", "accepted", "refused"), 0),
            **dict.fromkeys(("accepted_per_s", "given_per_s"), 0.0),
        }
    peers, totals = status["peers"], status["totals"]
    past = before or {"totals": {"accepted": 0}, "peers": ()}
    given, given_before = (sum(peer["given"] for peer in each) for each in (peers, past["peers"]))
    return {
        "users": status["users"],
        "devices": status["devices_connected"],
        "links": sum(peer["linked"] for peer in peers),
        "waiting": sum(peer["waiting"] for peer in peers),
        "stored": status["store"]["envelopes"],
        "accepted": totals["accepted"],
        "refused": totals["refused"],
        "accepted_per_s": _rate(totals["accepted"], past["totals"]["accepted"], span),
        "given_per_s": _rate(given, given_before, span),
    }


def _rate(count: int, before: int, span: float) -> float:
    """A restarted node counts from zero again."""
    return round(max(0, count - before) / span, 1) if span > 0 else 0.0
