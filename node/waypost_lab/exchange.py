"""An app's half of the exchange of custody, without I/O: it offers, acknowledges, shows once, and offers again.

What the SDK does about retries, receipts and duplicates is done here too. Whoever drives it gives it a `Session` while
there is a link, hands it that session's events, and lets it `flush` when something is due.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from waypost.clock import NEVER, Instant, WallMs
from waypost.errors import is_for_good
from waypost.limits import BATCH_MAX_BYTES, RECONNECT_S, RESEND_S
from waypost.protocol.custody.transfer import Offered, Outcome, Refusal, Reported, Room, Settled
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.messages import NoticeKind
from waypost.protocol.frames.session import Event, Noticed, Session
from waypost_lab.book import AppStep
from waypost_lab.profile import Profile, Unsent

_BATCH_MAX: Final = 64
_NOTICES: Final[dict[int, AppStep]] = {NoticeKind.HELD: AppStep.HELD, NoticeKind.WAITING: AppStep.WAITING}

#: Told of each step: envelopes' ids, the other side, the error's number.
Told = Callable[[AppStep, bytes, str, int], None]


@dataclass(frozen=True)
class Pace:
    """How patient an app is: seconds before it connects or sends again, the last ones repeating; batches under way."""

    reconnect_s: Sequence[float] = RECONNECT_S
    resend_s: Sequence[float] = RESEND_S
    batches_max: int = 1_000_000


class Exchange:
    """See the module. `verdict` is what it answers to an envelope; 0: taken."""

    def __init__(self, profile: Profile, told: Told, rng: random.Random, pace: Pace) -> None:
        self.profile = profile
        self.session: Session | None = None
        self.verdict: Callable[[bytes], int] = lambda _id: 0
        self._told = told
        self._rng = rng
        self._pace = pace
        self._offered: dict[bytes, None] = {}  #: in flight over this link

    def use(self, session: Session | None) -> None:
        """There is a link now, or none any more."""
        self.session = session
        self._offered.clear()

    def flush(self, now: Instant) -> None:
        """Offer what is due and not under way, in the order in which it was written."""
        session = self.session
        if session is None or session.closed:
            return
        due = [each for each in self.profile.unsent.values() if each.due <= now and each.id not in self._offered]
        while due and session.in_flight < self._pace.batches_max:
            batch = _first(due, session.room)
            if not batch:
                break
            due = due[len(batch) :]
            ids = [each.id for each in batch]
            self._offered.update(dict.fromkeys(ids))
            session.offer([each.envelope for each in batch], ids, ids)
            self._told(AppStep.OFFERED, b"".join(ids), "", 0)

    def due_at(self, now: Instant) -> Instant:
        """When to flush again: what is due already waits for room, and that comes with an event."""
        return min((each.due for each in self.profile.unsent.values() if each.due > now), default=NEVER)

    def handle(self, event: Event, now: Instant, wall_ms: WallMs) -> bool:
        """Whether the event was about custody; it is dealt with then."""
        match event:
            case Offered(batch, ids):
                self._receipt(batch, self._take(ids), wall_ms)
            case Reported(batch, outcomes):
                for outcome in outcomes:
                    for start in range(0, len(outcome.ids), ID_BYTES):
                        self._end(outcome.ids[start : start + ID_BYTES], outcome)
                self._receipt(batch, [], wall_ms)
            case Settled(token, _, refusals):
                self._settled(token, refusals, now)  # type: ignore[arg-type] # what `flush` gave
            case Noticed(notice):
                self._told(_NOTICES.get(notice.kind, AppStep.NOTICE), notice.ids, "", notice.code)
            case _:
                return False
        return True

    def _take(self, ids: Sequence[bytes]) -> list[Refusal]:
        refusals, shown = [], self.profile.shown
        for index, id_ in enumerate(ids):
            if code := self.verdict(id_):
                refusals.append(Refusal(index, code))
                continue
            times = shown[id_] = shown.get(id_, 0) + 1
            self._told(AppStep.SHOWN if times == 1 else AppStep.AGAIN, id_, "", 0)
        return refusals

    def _receipt(self, batch: int, refusals: list[Refusal], wall_ms: WallMs) -> None:
        if self.session is not None:
            self.session.receipt(batch, refusals, wall_ms)

    def _end(self, id_: bytes, outcome: Outcome) -> None:
        """As in the SDK: what was delivered stays so, and is not sent again though its own node has no receipt yet."""
        fate = self.profile.fates.get(id_)
        if fate == outcome.code:
            return
        if fate == 0:
            self._told(AppStep.DENIED, id_, outcome.recipient, outcome.code)
            return
        self.profile.fates[id_] = outcome.code
        self.profile.unsent.pop(id_, None)
        self._told(AppStep.BOUNCED if outcome.code else AppStep.DELIVERED, id_, outcome.recipient, outcome.code)

    def _settled(self, ids: Sequence[bytes], refusals: Sequence[Refusal], now: Instant) -> None:
        refused = {refusal.index: refusal for refusal in refusals}
        for index, id_ in enumerate(ids):
            self._offered.pop(id_, None)
            unsent = self.profile.unsent.get(id_)
            if unsent is None:
                continue
            refusal = refused.get(index)
            if refusal is None:
                del self.profile.unsent[id_]
                self.profile.accepted.add(id_)
                self._told(AppStep.ACCEPTED, id_, unsent.recipient, 0)
            elif is_for_good(refusal.code):
                del self.profile.unsent[id_]
                self._told(AppStep.REFUSED, id_, unsent.recipient, refusal.code)
            else:
                unsent.due = now + (refusal.retry_s or self._pause_s(unsent.tries))
                unsent.tries += 1
                self._told(AppStep.PUT_OFF, id_, unsent.recipient, refusal.code)

    def _pause_s(self, tries: int) -> float:
        steps = self._pace.resend_s
        return steps[min(tries, len(steps) - 1)] * (1 + self._rng.random() / 10)


def _first(due: Sequence[Unsent], room: Room) -> list[Unsent]:
    """As many as go into one batch now."""
    batch, left = [], min(room.bytes, BATCH_MAX_BYTES)
    for each in due[: min(room.envelopes, _BATCH_MAX)]:
        left -= len(each.envelope)
        if left < 0:
            break
        batch.append(each)
    return batch
