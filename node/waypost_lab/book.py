"""The book of a run: what was written, accepted, shown and reported of each message, as the apps saw it.

Every app tells it what happens to its messages (`told`). What is lost, doubled or foreign is counted from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import trio

from waypost.clock import Instant
from waypost.errors import Code
from waypost.protocol.frames.codec import ID_BYTES

if TYPE_CHECKING:
    from waypost_lab.app import App


class AppStep(StrEnum):
    """What happens to messages at an app."""

    SENT = "sent"  #: written
    OFFERED = "offered"  #: a batch, to the node
    ACCEPTED = "accepted"
    PUT_OFF = "put off"  #: refused for now
    REFUSED = "refused"  #: for good
    HELD = "held"  #: news of the recipient's node
    WAITING = "waiting"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DENIED = "denied"  #: a failure is reported of what was reported delivered; an app believes the first
    SHOWN = "shown"
    AGAIN = "again"  #: brought once more by the node
    CLAIMED = "claimed"  #: keys, of which the id is the request's
    NOTICE = "notice"  #: another one


#: Those that tell a sender where a message is; a refusal is told as a bounce.
_ENDS: Final = frozenset({AppStep.DELIVERED, AppStep.BOUNCED, AppStep.EXPIRED})
_NEWS: Final = _ENDS | {AppStep.ACCEPTED, AppStep.REFUSED, AppStep.HELD, AppStep.WAITING}


@dataclass(slots=True, eq=False)
class Letter:
    """A message, as all who are asked together know it. `id` is the envelope's: empty until there is one."""

    sender: str
    recipient: str
    sent_at: Instant
    id: bytes = b""
    text: str = ""
    number: int = 0  #: the first is 1
    accepted_at: Instant | None = None
    refused: int = 0  #: by the sender's own node, for good
    fate: int | None = None  #: told to the sender: 0 delivered, else why not
    denied: int = 0  #: why not, though it had been told that it was delivered
    shown_at: Instant | None = None
    brought: int = 0  #: to an app that has it, counted by the node's offers
    shown: int = 0
    told: list[tuple[AppStep, int]] = field(default_factory=list)  #: the news of it, in order, with the error's number
    abandoned: bool = False  #: its custodian has left for good, and said so

    @property
    def is_over(self) -> bool:
        """Its sender has been told how it ended."""
        return any(step in _ENDS for step, _ in self.told)

    @property
    def is_accepted(self) -> bool:
        """Of what is reported the receipt may have been lost."""
        return self.accepted_at is not None or self.fate is not None

    @property
    def is_outstanding(self) -> bool:
        """Accepted, and neither shown nor bounced: lost, unless more is still to come."""
        return self.is_accepted and not self.shown and not self.fate


class Book:
    """See the module. `on_step` hears each step of a letter, with the error's number."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.by_id: dict[bytes, Letter] = {}
        self.on_step: Callable[[Letter, AppStep, int], None] = lambda _letter, _step, _code: None
        self.latencies_ms: list[float] = []  #: from writing to showing, in the order of showing
        self.put_off: Counter[int] = Counter()  #: refusals for now, by code
        self.offers = 0  #: envelopes offered by senders, each time
        self.arrivals = 0  #: envelopes brought to recipients, each time
        self.foreign = 0  #: envelopes that nobody has written, or not to whom they were brought
        self.bounces: list[int] = []  #: codes, in the order of their coming
        self.changed = trio.Event()

    def write(self, letter: Letter) -> Letter:
        """A new one."""
        self.letters.append(letter)
        letter.number = len(self.letters)
        if letter.id:
            self.by_id[letter.id] = letter
        self.on_step(letter, AppStep.SENT, 0)
        return letter

    def identify(self, letter: Letter, id_: bytes) -> None:
        """It has an envelope now."""
        letter.id = id_
        self.by_id[id_] = letter

    def named(self, text: str) -> Letter:
        """The last with that text."""
        return next(each for each in reversed(self.letters) if each.text == text)

    def told(self, app: App, step: AppStep, ids: bytes, other: str, code: int) -> None:
        """What an app of the lab tells: to or of whom, and the error's number."""
        now = trio.current_time()
        match step:
            case AppStep.SENT:
                self.write(Letter(app.address, other, now, ids))
            case AppStep.OFFERED:
                self.offers += len(ids) // ID_BYTES
            case AppStep.PUT_OFF:
                self.put_off[code] += 1
            case AppStep.SHOWN | AppStep.AGAIN:
                self._brought(app.address, step, ids, now)
            case AppStep.CLAIMED | AppStep.NOTICE:
                pass
            case _:
                for letter in self._of(ids):
                    self.step(letter, step, code, now)
        self.changed.set()
        self.changed = trio.Event()

    def _of(self, ids: bytes) -> Iterator[Letter]:
        for start in range(0, len(ids), ID_BYTES):
            if (letter := self.by_id.get(ids[start : start + ID_BYTES])) is not None:
                yield letter

    def _brought(self, to: str, step: AppStep, id_: bytes, now: Instant) -> None:
        self.arrivals += 1
        letter = self.by_id.get(id_)
        if letter is None or letter.recipient != to:
            self.foreign += 1
            return
        letter.brought += 1
        if step is AppStep.SHOWN:
            self.show(letter, now)

    def show(self, letter: Letter, now: Instant) -> None:
        """Its recipient sees it."""
        letter.shown += 1
        if letter.shown_at is None:
            letter.shown_at = now
            self.latencies_ms.append((now - letter.sent_at) * 1000)
        self.on_step(letter, AppStep.SHOWN, 0)

    def step(self, letter: Letter, step: AppStep, code: int, now: Instant) -> None:
        """Its sender is told that."""
        match step:
            case AppStep.ACCEPTED:
                letter.accepted_at = letter.accepted_at if letter.accepted_at is not None else now
            case AppStep.REFUSED:
                letter.refused = code
            case AppStep.DELIVERED:
                letter.fate = 0
            case AppStep.BOUNCED | AppStep.EXPIRED:
                letter.fate = code
                self.bounces.append(code)
            case AppStep.DENIED:
                letter.denied = code
            case _:
                pass
        if step in _NEWS:
            news = AppStep.BOUNCED if step is AppStep.REFUSED else step
            if code == Code.EXPIRED.number and news is AppStep.BOUNCED:
                news = AppStep.EXPIRED
            if (news, code) not in letter.told[-1:]:
                letter.told.append((news, code))
                self.on_step(letter, news, code)

    # ── counted ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def accepted(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.is_accepted]

    @property
    def outstanding(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.is_outstanding]

    @property
    def shown(self) -> int:
        """Letters that were."""
        return sum(letter.shown > 0 for letter in self.letters)

    @property
    def lost(self) -> int:
        return len(self.outstanding)

    @property
    def delivered(self) -> int:
        return sum(letter.shown > 0 for letter in self.accepted)

    @property
    def bounced(self) -> int:
        return sum(bool(letter.fate) for letter in self.accepted)

    @property
    def duplicates(self) -> int:
        """Shown more than once."""
        return sum(letter.shown > 1 for letter in self.letters)

    @property
    def unreported(self) -> int:
        """Accepted, and the sender has not been told what became of it."""
        return sum(letter.fate is None for letter in self.accepted)

    @property
    def wrongly_bounced(self) -> int:
        """Shown, although the sender was told that it could not be delivered."""
        return sum(letter.shown > 0 and bool(letter.fate or letter.denied) for letter in self.letters)

    @property
    def complete(self) -> bool:
        """Nothing more is to be expected."""
        return all(each.refused or (each.fate is not None and not each.is_outstanding) for each in self.letters)

    @property
    def holds(self) -> bool:
        """Whether the promises were kept."""
        return not (self.lost or self.duplicates or self.unreported or self.foreign or self.wrongly_bounced)

    def facts(self) -> dict[str, int]:
        """For people and for JSON."""
        accepted = len(self.accepted)
        return {
            "accepted": accepted,
            "delivered": self.delivered,
            "bounced": self.bounced,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "reported": accepted - self.unreported,
            "refused": sum(bool(letter.refused) for letter in self.letters),
            "put_off": self.put_off.total(),
            "arrivals": self.arrivals,
            "offers": self.offers,
            "foreign": self.foreign,
            "wrongly_bounced": self.wrongly_bounced,
        }
