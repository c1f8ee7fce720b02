"""The promises of the design, watched at every step of a simulation.

Nothing accepted is lost; nothing is stored or shown twice; senders are told the truth; bounds hold; a dead peer slows
nobody else; every queue drains once the faults are over; traces of both hops agree. A breach is a `Violation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import trio

from waypost.errors import Code, WaypostError, describe
from waypost.limits import BATCH_MAX_ENVELOPES, EARLY_BATCHES_MAX
from waypost.protocol.directory.asks import ClaimReply
from waypost.protocol.frames.codec import read
from waypost.relay.settings import Quotas
from waypost.storage.operations.base import Operation
from waypost.storage.operations.mail import Accept, Accepted
from waypost.storage.operations.mailboxes import MailboxKind
from waypost_lab.app import App
from waypost_lab.book import AppStep, Book
from waypost_lab.simulate.events import Events
from waypost_lab.timeline import LinkState, Note, Step

#: A run that breaks everything need not list it all.
_LISTED_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Violation:
    """`promise` is one of a few words; `at_s` in virtual time."""

    promise: str
    at_s: float
    text: str


class Promises(Book):
    """See the module."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self.events = events
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._stored: dict[tuple[str, bytes], int] = {}
        self._packages: dict[bytes, bytes] = {}

    def broken(self, promise: str, text: str) -> None:
        self.counts[promise] += 1
        if len(self.violations) < _LISTED_MAX:
            at_s = round(trio.current_time(), 6)
            self.violations.append(Violation(promise, at_s, text))
            self.events.add("VIOLATION", promise, text)
            self.events.mark()
            self.events.record(Note(t=at_s, text=f"{promise}: {text}", level="error"))

    # ── told by apps ────────────────────────────────────────────────────────────────────────────────────────────────

    def told(self, app: App, step: AppStep, ids: bytes, other: str, code: int) -> None:
        """An app's `Tell`."""
        super().told(app, step, ids, other, code)
        if step in _UNSEEN:
            return
        me, letter = app.address, self.by_id.get(ids)
        self.events.add(step, me, ids.hex(), other, code)
        self.counts[step] += 1
        if step is AppStep.CLAIMED:
            self._claimed(app, ids, other)
        elif letter is None:
            if step not in _NOTICES:
                self.broken("forged", f"{me} got {step} of a message {ids.hex()} that nobody wrote")
        elif step in (AppStep.SHOWN, AppStep.AGAIN) and letter.recipient != me:
            self.broken("misdelivered", f"a message to {letter.recipient} was shown to {me}")
        elif step is AppStep.DELIVERED and letter.shown_at is None:
            self.broken("untrue", f"{me} was told that a message was delivered which nobody was shown")
        if letter is not None and self.events.recording and step in _STEPS:
            at, who = trio.current_time(), {"sender": letter.sender, "recipient": letter.recipient}
            self.events.record(Step(t=at, id=ids.hex(), step=_STEPS[step], code=code, **who))

    def _claimed(self, app: App, request: bytes, address: str) -> None:
        answers = app.profile.answers[request]
        bodies = {answer.reply for answer in answers if answer.code == 0}
        if len(bodies) > 1:
            self.broken("claims", f"request {request.hex()} for {address} was answered in two ways")
        for body in bodies:
            for device in read(body, ClaimReply).devices:
                if device.state == "one-time" and self._packages.setdefault(device.package, request) != request:
                    self.broken("claims", f"a package of {address} was issued twice")

    # ── told by nodes ───────────────────────────────────────────────────────────────────────────────────────────────

    def stored(self, node: str, deposit: Accept, accepted: Accepted) -> None:
        """A node has committed a deposit."""
        for mailbox, parcel in accepted.placed:
            for id_ in parcel.ids:
                key = (f"{node} {mailbox}", id_)
                times = self._stored[key] = self._stored.get(key, 0) + 1
                if times > 1:
                    self.broken("stored twice", f"{node} put {id_.hex()} from {deposit.source} into a mailbox again")
                if id_ not in self.by_id:
                    self.broken("forged", f"{node} accepted {id_.hex()}, which nobody wrote")

    def logged(self, node: str, level: str, event: str, fields: MutableMapping[str, Any]) -> None:
        """A line of a node's log: no trouble may be one that nobody foresaw."""
        if level == "error":
            self.broken("unforeseen", f"{node}: {event} {fields!r}")
        elif event in ("link up", "link down"):
            peer, up = str(fields["peer"]), event == "link up"
            self.events.add(event, node, peer)
            self.events.record(LinkState(t=trio.current_time(), a=node, b=peer, up=up))

    def stopped(self, node: str, unanswered: int) -> None:
        """A node has ended in good order: what it had begun to write must be written and answered."""
        if unanswered:
            self.broken("unwritten", f"{node} stopped with {unanswered} writes under way")

    def within(self, node: str, kind: MailboxKind, owner: str, items: int, quotas: Quotas) -> None:
        """A mailbox holds so much; what is being committed may go beyond by what was under way."""
        most = quotas.mailbox_envelopes if kind is MailboxKind.DEVICE else quotas.outbox_envelopes
        if items > most + (EARLY_BATCHES_MAX + 2) * BATCH_MAX_ENVELOPES:
            self.broken("bounds", f"{node} holds {items} of at most {most} for {owner}")

    # ── at the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self, left: set[str]) -> None:
        """After everything has calmed down: what became of each message; `left`: nodes that have left for good."""
        for letter in self.letters:
            ends = {letter.sender.rpartition("@")[2], letter.recipient.rpartition("@")[2]}
            letter.abandoned = bool(ends & left) and (letter.shown_at is None or letter.fate is None)
            name = f"{letter.id.hex()} from {letter.sender} to {letter.recipient}, sent at {letter.sent_at:.1f} s"
            if letter.abandoned:
                self.counts["abandoned"] += 1
            elif letter.accepted_at is None:
                if letter.shown_at is None and not letter.refused and letter.fate is None:
                    self.broken("stuck", f"{name} was never taken by its node")
            elif letter.shown_at is None and not letter.fate:
                self.broken("lost", f"{name} was accepted, and nobody was shown it or told why not")
            elif letter.fate is None:
                self.broken("untold", f"{name} was shown, and its sender was not told")
            elif letter.fate and letter.shown_at is not None:
                self.broken("untrue", f"{name} was shown, and its sender was told {describe(letter.fate)}")

    def figures(self) -> dict[str, int]:
        """Counts of messages."""
        expired = sum(letter.fate == EXPIRED for letter in self.letters)
        return {
            "accepted": sum(letter.accepted_at is not None for letter in self.letters),
            "delivered": self.shown,
            "bounced": sum(bool(letter.fate) for letter in self.letters) - expired,
            "expired": expired,
            "refused": sum(bool(letter.refused) for letter in self.letters),
            "abandoned": sum(letter.abandoned for letter in self.letters),
            "lost": self.counts["lost"],
            "duplicates": self.counts["stored twice"],
        }


#: What a sender is told of a message that has expired.
EXPIRED: Final = Code.EXPIRED.number
#: Those that nothing is promised about, and those that may be lost.
_UNSEEN: Final = frozenset({AppStep.OFFERED, AppStep.PUT_OFF, AppStep.DENIED})
_NOTICES: Final = frozenset({AppStep.HELD, AppStep.WAITING, AppStep.NOTICE})
#: Steps of an app, as the timeline names them.
_STEPS: Final = {
    AppStep.SENT: "sent",
    AppStep.ACCEPTED: "accepted",
    AppStep.SHOWN: "delivered",
    AppStep.BOUNCED: "bounced",
    AppStep.REFUSED: "bounced",
}


@dataclass(frozen=True)
class NodeObserver:
    """A node's store tells the promises what it has made durable."""

    node: str
    promises: Promises

    def committed(self, operation: Operation[Any], result: Any) -> None:
        if isinstance(result, WaypostError):
            return
        if isinstance(operation, Accept):
            self.promises.stored(self.node, operation, result)
