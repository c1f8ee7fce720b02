"""Looks while a simulation runs at what is undisturbed and yet slow, and at bounds; at its end into the stores."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from waypost.clock import Instant
from waypost.ids import Address, id_text
from waypost_lab.app import App
from waypost_lab.book import AppStep, Letter
from waypost_lab.machine import Machine
from waypost_lab.simulate.health import GRACE_S, pair
from waypost_lab.simulate.promises import EXPIRED
from waypost_lab.simulate.world import World

#: Between two undisturbed nodes, a message must be shown within this time.
PROMPT_S: Final = 5.0
#: After a start, a node must have a link to each undisturbed neighbour within this time.
LINKED_S: Final = 8.0
_LOOK_S: Final = 300.0
#: No node has that much to write in that time.
_RESTLESS: Final = 10_000
_TRACED_MAX: Final = 4_000


class Watch:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._due: deque[tuple[Instant, bytes]] = deque()
        self._news = trio.Event()

    # ── promptness ──────────────────────────────────────────────────────────────────────────────────────────────────

    def told(self, app: App, step: AppStep, id_: bytes, other: str, code: int) -> None:
        """An app's `Tell`."""
        self._world.promises.told(app, step, id_, other, code)
        if step is AppStep.SENT and self._is_ready(self._world.promises.by_id[id_], trio.current_time()):
            self._due.append((trio.current_time() + PROMPT_S, id_))
            self._news.set()

    def _is_ready(self, letter: Letter, since: Instant) -> bool:
        """Whether nothing at all stands between the two, and nothing has lately."""
        world = self._world
        to = world.apps.get(letter.recipient)
        of = world.apps[letter.sender]
        if to is None or not (of.connected and to.connected):
            return False
        targets = (of.node, to.node, pair(of.node, to.node), letter.sender, letter.recipient)
        if world.health.calm_since(*targets) > since - GRACE_S:
            return False
        return self._linked(of.node, to.node)

    def _linked(self, one: str, other: str) -> bool:
        if one == other:
            return True
        for name, peer in ((one, other), (other, one)):
            machine = self._world.machines[name]
            known = machine.relay.peers.get(peer) if machine.is_up else None
            if known is None or known.link is None or known.gone:
                return False
        return True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._due:
                self._news = trio.Event()
                await self._news.wait()
            due, id_ = self._due.popleft()
            await trio.sleep_until(due)
            letter = self._world.promises.by_id[id_]
            if not self._is_ready(letter, due - PROMPT_S):
                continue
            self._world.promises.counts["held to be prompt"] += 1
            if letter.shown_at is None and letter.fate is None and not letter.refused and not self._is_full(letter):
                self._world.promises.broken(
                    "slow",
                    f"{id_.hex()} from {letter.sender} to {letter.recipient} took more than {PROMPT_S:g} s "
                    "though nothing stood in its way",
                )

    def _is_full(self, letter: Letter) -> bool:
        """A mailbox that has just been emptied is tried again only later."""
        to = self._world.apps[letter.recipient]
        relay = self._world.machines[to.node].relay
        boxes = relay.accounts.device_mailboxes(Address.of(letter.recipient))
        return any(relay.usages.of(box).items >= relay.settings.quotas.mailbox_envelopes // 2 for box in boxes)

    # ── links after a start ─────────────────────────────────────────────────────────────────────────────────────────

    async def links(self, name: str) -> None:
        """A node has started: whoever can be reached must soon be linked, whatever its other peers do."""
        world, started = self._world, trio.current_time()
        starts = world.machines[name].starts
        await trio.sleep(LINKED_S)
        machine = world.machines[name]
        for other in world.neighbours[name]:
            calm = world.health.calm_since(other, pair(name, other)) <= started - GRACE_S
            same_run = machine.is_up and machine.starts == starts
            if calm and same_run and world.health.calm_since(name) <= started and not self._linked(name, other):
                known = machine.relay.peers.get(other)
                if known is not None and not known.gone and world.machines[other].is_up:
                    world.promises.broken(
                        "unlinked", f"{name} had no link to {other} {LINKED_S:g} s after its start: {known.trouble}"
                    )

    # ── bounds and traces ───────────────────────────────────────────────────────────────────────────────────────────

    async def bounds(self) -> None:
        """Look at every mailbox now and then, until cancelled."""
        written: dict[str, int] = {}
        while True:
            await trio.sleep(_LOOK_S)
            for machine in self._world.machines.values():
                since = machine.written - written.get(machine.name, 0)
                written[machine.name] = machine.written
                if since > _RESTLESS:
                    self._world.promises.broken("restless", f"{machine.name} wrote {since} times in {_LOOK_S:g} s")
                for info in await machine.disk.mailboxes():
                    quotas = machine.make.quotas
                    self._world.promises.within(machine.name, info.kind, info.owner, info.usage.items, quotas)

    async def waiting(self) -> dict[str, str]:
        """What waits, by app and by node; without nodes that have left."""
        found = {
            address: f"{len(app.profile.unsent)} unsent"
            for address, app in self._world.apps.items()
            if app.profile.unsent and app.node not in self._world.left
        }
        for name, machine in self._world.machines.items():
            boxes = {
                box.owner[:20]: box.usage.items
                for box in await machine.disk.mailboxes()
                if box.usage.items and not self._waits_in_vain(machine, box.owner)
            }
            if boxes and name not in self._world.left:
                found[name] = str(boxes)
        return found

    def _waits_in_vain(self, machine: Machine, owner: str) -> bool:
        """For a node that has left while nobody who could say so was linked: it waits there until it expires."""
        if owner not in self._world.left or not machine.is_up:
            return False
        peer = machine.relay.peers.get(owner)
        return peer is None or not peer.gone

    async def traces(self) -> None:
        """At the end: what both nodes noted of a message agrees with what the apps saw."""
        promises, world = self._world.promises, self._world
        for letter in promises.letters[:_TRACED_MAX]:
            id_ = letter.id
            of, to = letter.sender.rpartition("@")[2], letter.recipient.rpartition("@")[2]
            if letter.accepted_at is None or {of, to} & world.left or to not in world.machines:
                continue
            near = {row.event for row in await world.machines[of].disk.trace(id_)}
            far = {row.event for row in await world.machines[to].disk.trace(id_)}
            wanted = {"accepted"}
            if letter.shown_at is not None:
                wanted |= {"delivered"}
                if of != to and not {"accepted", "delivered"} <= far:
                    promises.broken("traces", f"{id_text(id_)}: {to} noted {sorted(far)}, though it was shown")
            elif letter.fate:
                wanted |= {"expired"} if letter.fate == EXPIRED else {"bounced"}
            if not wanted <= near and not (letter.fate == EXPIRED and "bounced" in near):
                promises.broken("traces", f"{id_text(id_)}: {of} noted {sorted(near)}, wanted {sorted(wanted)}")
