"""What a scenario is played on: a network, its people, and what has happened so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from waypost.errors import Code, LocalError
from waypost.protocol.directory.package import PackageState
from waypost.relay.settings import Quotas
from waypost.storage.operations.base import Operation
from waypost.storage.operations.keys import AddPackages, IssuePackages
from waypost.storage.operations.mail import Accept
from waypost_lab.book import AppStep, Book, Letter
from waypost_lab.machine import Make
from waypost_lab.names import full_name, full_node, short
from waypost_lab.profile import key_of
from waypost_lab.scenario.people import LightPerson, Person, SdkPerson
from waypost_lab.testnet import Network
from waypost_lab.timeline import AnyEvent, Fault, LinkState, Mended, Note, Run, Step

#: Those that a timeline has.
_STEPS = frozenset({AppStep.SENT, AppStep.ACCEPTED, AppStep.HELD, AppStep.DELIVERED, AppStep.BOUNCED, AppStep.EXPIRED})
_TOLD_MAX = 50_000  #: lines of what has happened, kept for a failure


@dataclass(frozen=True)
class Once:
    """A crash that waits for its moment: an operation, of which `left` more items must have become durable."""

    node: str
    operation: type[Accept | AddPackages]
    left: int


@dataclass(eq=False)
class Stage:
    """`on_event` is told everything that a timeline holds."""

    net: Network
    nursery: trio.Nursery
    on_event: Callable[[AnyEvent], None]
    people: dict[str, Person] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    happened: list[tuple[float, str]] = field(default_factory=list)  #: seconds since it began, and what
    logged: list[tuple[str, str]] = field(default_factory=list)  #: node, and a line of its log
    issued: dict[bytes, int] = field(default_factory=dict)  #: one-time key → how often it was given out
    kinds: dict[str, bool] = field(default_factory=dict)  #: user → light
    homes: dict[str, str] = field(default_factory=dict)  #: user → node
    makes: dict[str, Make] = field(default_factory=dict)
    seen_before: set[Letter] = field(default_factory=set)  #: when it was last said to be remembered
    _once: list[Once] = field(default_factory=list)
    _is_open: bool = False

    def __post_init__(self) -> None:
        self.net.on_event = self._event
        self.net.on_log = self._logged
        self.net.on_commit = self._committed
        self.book.on_step = self._step

    # ── setting it up ───────────────────────────────────────────────────────────────────────────────────────────────

    def add_nodes(self, names: tuple[str, ...]) -> None:
        self.makes |= {name: Make(full_node(name), key_of(full_node(name))) for name in names}

    def add_users(self, users: tuple[tuple[str, str], ...], *, light: bool) -> None:
        for name, node in users:
            self.homes[name], self.kinds[name] = node, light

    def limit_mailboxes(self, node: str, messages: int) -> None:
        self.makes[node] = replace(self.makes[node], quotas=Quotas(mailbox_envelopes=messages))

    async def open(self, title: str, seed: int) -> None:
        """Start the nodes and let everybody join, once, before anything else happens."""
        if self._is_open:
            return
        self._is_open = True
        self.on_event(
            Run(title=title, source="scenario", nodes=tuple(make.name for make in self.makes.values()), seed=seed)
        )
        for make in self.makes.values():
            await self.net.node(make)
        for name, node in self.homes.items():
            kind = LightPerson if self.kinds[name] else SdkPerson
            person = kind(name, full_name(f"{name}@{node}"), self.net, self.book, self.nursery)
            self.people[name] = person
            await person.online()

    # ── used by the sentences ───────────────────────────────────────────────────────────────────────────────────────

    def end_of(self, name: str) -> str:
        """A node, or a user's machine, as the network knows it."""
        return self.people[name].address if name in self.people else name

    def light(self, name: str) -> LightPerson:
        person = self.people[name]
        if not isinstance(person, LightPerson):
            raise LocalError(Code.BAD_CONFIG, f"only a light user's app can do that, and {name} is not among them")
        return person

    def sdk(self, name: str) -> SdkPerson:
        person = self.people[name]
        if not isinstance(person, SdkPerson):
            raise LocalError(Code.BAD_CONFIG, f"a light user's app cannot do that, and {name} is one")
        return person

    def remember_seen(self) -> None:
        """What anybody sees from now on is new."""
        self.seen_before = {written for person in self.people.values() for written in person.seen}

    async def crash_once(self, once: Once) -> None:
        self._once.append(once)

    def note(self, text: str) -> None:
        """Something for the reader."""
        self._remember(text)
        self.on_event(Note(t=trio.current_time(), text=text))

    # ── told ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _remember(self, text: str) -> None:
        if len(self.happened) < _TOLD_MAX:
            self.happened.append((trio.current_time(), text))

    def _event(self, event: AnyEvent) -> None:
        self.on_event(event)
        match event:
            case LinkState(a=one, b=other, up=up):
                self._remember(f"{short(one)}: link to {short(other)} {'is up' if up else 'has ended'}")
            case Fault(name=name, nodes=nodes, detail=detail):
                self._remember(f"{name} {' '.join(map(short, nodes))} {detail}".rstrip())
            case Mended(id=id_):
                self._remember(f"fault {id_} is over")
            case _:
                pass

    def _logged(self, node: str, level: str, event: str, fields: dict[str, Any]) -> None:
        line = " ".join([event, *(f"{key}={value}" for key, value in sorted(fields.items()))])
        self.logged.append((short(node), line))
        if level in ("warning", "error"):
            self._remember(f"{short(node)}: {line}")

    def _step(self, written: Letter, step: AppStep, code: int) -> None:
        self._remember(
            f"“{written.text}” of {short(written.sender)} to {short(written.recipient)}: {step}"
            + (f" ({code})" if code else "")
        )
        if step not in _STEPS:
            return
        at, who = trio.current_time(), {"sender": written.sender, "recipient": written.recipient}
        self.on_event(Step(t=at, id=f"{written.number:032x}", step=step.value, code=code, **who))

    def _committed(self, node: str, operation: Operation[Any], result: Any) -> None:
        if isinstance(result, Exception):
            return
        if isinstance(operation, IssuePackages):
            for each in result:
                if each.state is PackageState.ONE_TIME:
                    self.issued[each.package] = self.issued.get(each.package, 0) + 1
        self._once = [left for once in self._once if (left := self._nearer(once, node, operation))]

    def _nearer(self, once: Once, node: str, operation: Operation[Any]) -> Once | None:
        if once.node != short(node) or not isinstance(operation, once.operation):
            return once
        # An upload that is empty only asks how many packages are left.
        left = once.left - len(operation.items if isinstance(operation, Accept) else operation.packages)
        if left > 0:
            return replace(once, left=left)
        if left == once.left:
            return once
        self.net.crash(node)
        return None
