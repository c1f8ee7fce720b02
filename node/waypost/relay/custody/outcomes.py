"""What follows when the next hop has answered: traces, and news for the senders.

A peer's receipt makes an envelope `held`; a device's makes it `delivered`. Refused for good, it bounces. The senders'
own devices, or their node, learn of it by outcomes, which are kept in custody like envelopes are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from waypost.clock import SECOND_MS, Clock, WallMs
from waypost.errors import Code, PeerFault, WaypostError
from waypost.ids import Address, Provider, User
from waypost.limits import (
    BATCH_MAX_ENVELOPES,
    DEFER_MAX_S,
    DEFER_MIN_S,
    REPORT_EXPIRY_S,
    RETRY_HINT_MAX_S,
)
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.fate import Event, State
from waypost.protocol.custody.outbox import Verdict
from waypost.protocol.custody.transfer import Outcome, Refusal
from waypost.relay.accounts import Accounts
from waypost.relay.peers import Peers
from waypost.relay.tasks import Surroundings
from waypost.storage.operations.mail import Keep, Parcel, ParcelKind, Placed, Settle, Trace
from waypost.storage.pending import Pending

_RETRY_S = 1.0  #: a settlement that a full disk refused is tried again
_RETRIED_MAX = 4_096


class Settlements:
    """Applies settlements; those that a full disk refuses again until they can be."""

    def __init__(self, around: Surroundings) -> None:
        self._store = around.store
        self._log = around.log
        self._tasks = around.tasks
        self._last: Pending[tuple[Placed, ...]] | None = None
        self._refused: list[Settle] = []
        self._behind = 0  #: that have been refused and are still to be applied

    @property
    def behind(self) -> bool:
        """Whether settlements that a full disk has refused are still to be applied."""
        return self._behind > 0

    def settle(self, settlement: Settle) -> None:
        """Apply it, now or later."""
        self._settle(settlement, 0)

    def _settle(self, settlement: Settle, refused: int) -> None:
        """`refused`: 1 if it was before, and counts among those that are behind."""

        def done(_: object) -> None:
            self._behind -= refused

        def failed(error: WaypostError) -> None:
            self._behind -= refused
            if error.code is Code.STORE_FULL and self._behind < _RETRIED_MAX:
                self._behind += 1
                self._refused.append(settlement)
                if len(self._refused) == 1:
                    self._tasks.start_soon(self._try_again)
            else:
                # The parcels are still there and will be offered again; the receiver knows them.
                self._log.error("settlement lost", mailbox=settlement.mailbox, reason=str(error))

        self._last = self._store.submit(settlement)
        self._last.then(done, failed)

    async def _try_again(self) -> None:
        await trio.sleep(_RETRY_S)
        refused, self._refused = self._refused, []
        for settlement in refused:
            self._settle(settlement, 1)

    async def applied(self) -> None:
        """Until all settlements so far have been applied or refused."""
        if self._last is not None:
            with suppress(WaypostError):
                await self._last


@dataclass(slots=True)
class News:
    """Outcomes by the mailbox that they go to."""

    by_mailbox: dict[int, list[Outcome]] = field(default_factory=dict)

    def add(self, mailboxes: Iterable[int], outcome: Outcome) -> None:
        for mailbox in mailboxes:
            self.by_mailbox.setdefault(mailbox, []).append(outcome)

    def reports(self) -> tuple[tuple[int, Sequence[Outcome]], ...]:
        return tuple(self.by_mailbox.items())


class Outcomes:
    """See the module."""

    def __init__(
        self, provider: Provider, accounts: Accounts, peers: Peers, settlements: Settlements, clock: Clock
    ) -> None:
        self._provider = provider
        self._accounts = accounts
        self._peers = peers
        self._settlements = settlements
        self._clock = clock

    # ── after a receipt ─────────────────────────────────────────────────────────────────────────────────────────────

    def of_peer(self, mailbox: int, provider: Provider, verdict: Verdict[Parcel]) -> None:
        """A peer node has answered a batch from its outbox."""
        now_ms = self._clock.wall_ms()
        held = self.by_sender(verdict.taken)
        for sender, ids in held.items():
            self.notify(sender, State.HELD, ids, 0, now_ms)
        traces = [_taken(now_ms, Event.HELD, provider, held)] if held else []
        self._settle(mailbox, provider, verdict, traces, News(), now_ms)

    def of_device(self, mailbox: int, address: Address, verdict: Verdict[Parcel]) -> None:
        """A local device has answered a batch from its inbox."""
        now_ms = self._clock.wall_ms()
        delivered = self.by_sender(verdict.taken)
        news = News()
        for sender, ids in delivered.items():
            self.tell(news, sender, str(address), 0, now_ms, ids)
        traces = [_taken(now_ms, Event.DELIVERED, str(address), delivered)] if delivered else []
        self._settle(mailbox, address, verdict, traces, news, now_ms)

    def _settle(
        self,
        mailbox: int,
        owner: Address | Provider,
        verdict: Verdict[Parcel],
        traces: list[Trace],
        news: News,
        now_ms: WallMs,
    ) -> None:
        recipient = owner if isinstance(owner, Address) else None
        refused = ((untaken.entry, untaken.index, untaken.code) for untaken in verdict.bounced)
        traces += self._bounce(news, refused, str(owner), recipient, now_ms)
        keep: list[Keep] = []
        if verdict.deferred or verdict.keep:
            traces += self._defer(verdict, str(owner), now_ms)
            keep = [Keep(seq, indexes, self._due_ms(verdict, now_ms)) for seq, indexes in verdict.keep]
        if verdict.done or keep or traces or news.by_mailbox:
            self._settlements.settle(
                Settle(mailbox, verdict.done, keep, traces, news.reports(), now_ms + REPORT_EXPIRY_S * SECOND_MS)
            )

    def _defer(self, verdict: Verdict[Parcel], party: str, now_ms: WallMs) -> list[Trace]:
        """Traces of what was refused for now; its senders are told that it waits."""
        traces = []
        due_ms = self._due_ms(verdict, now_ms)
        for refused in verdict.deferred:
            if refused.entry.kind is ParcelKind.ENVELOPES:
                id_ = refused.entry.ids[refused.index]
                traces.append(Trace(now_ms, Event.DEFERRED, party, refused.code, id_))
                self.notify(senders_of(refused.entry)[refused.index], State.WAITING, [id_], refused.code, due_ms)
        return traces

    @staticmethod
    def _due_ms(verdict: Verdict[Parcel], now_ms: WallMs) -> WallMs:
        """When to try again: as the next hop says, or after half the age of the youngest."""
        made_ms = [
            decode_envelope(refused.entry.items[refused.index]).created_ms
            for refused in verdict.deferred
            if refused.entry.kind is ParcelKind.ENVELOPES
        ]
        delay_s = (now_ms - max(made_ms, default=now_ms)) / SECOND_MS / 2
        delay_s = max(DEFER_MIN_S, min(delay_s, DEFER_MAX_S))
        hint_s = min(max((refused.retry_s for refused in verdict.deferred), default=0), RETRY_HINT_MAX_S)
        return now_ms + round((hint_s or delay_s) * SECOND_MS)

    # ── bounces from elsewhere ──────────────────────────────────────────────────────────────────────────────────────

    def give_up(
        self,
        mailbox: int,
        parcel: Parcel,
        indexes: Sequence[int],
        code: Code,
        recipient: Address | None = None,
        keep: Keep | None = None,
    ) -> None:
        """Bounce these items of a parcel: expired, dropped by the operator, or the peer or account has gone.

        `recipient`: whose inbox it is; None for a peer's outbox, where all recipients of an envelope are concerned.
        `keep`: what stays of the parcel, if anything does.
        """
        now_ms = self._clock.wall_ms()
        news = News()
        refused = ((parcel, index, code.number) for index in indexes) if parcel.kind is ParcelKind.ENVELOPES else ()
        traces = self._bounce(news, refused, str(recipient or self._provider), recipient, now_ms)
        done, kept = ((), (keep,)) if keep else ((parcel.seq,), ())
        self._settlements.settle(
            Settle(mailbox, done, kept, traces, news.reports(), now_ms + REPORT_EXPIRY_S * SECOND_MS)
        )

    def unreachable(self, envelope: bytes, id_: bytes, missing: Iterable[tuple[str, Code]]) -> Settle:
        """What to settle for some recipients of an envelope that is accepted for others."""
        now_ms = self._clock.wall_ms()
        news = News()
        sender = decode_envelope(envelope).sender
        traces = []
        for user, code in missing:
            recipient = str(Address(User(user), self._provider))
            self.tell(news, sender, recipient, code.number, now_ms, [id_])
            traces.append(Trace(now_ms, Event.BOUNCED, recipient, code.number, id_))
        return Settle(0, (), (), traces, news.reports(), now_ms + REPORT_EXPIRY_S * SECOND_MS)

    def reported(self, party: Provider, outcomes: Iterable[Outcome]) -> tuple[Settle, list[Refusal]]:
        """A peer has told what became of envelopes that our users sent to its users.

        News for a sender whose mailboxes are all full are refused for now: the peer keeps them.
        """
        now_ms = self._clock.wall_ms()
        news = News()
        traces = []
        refusals = []
        for index, outcome in enumerate(outcomes):
            if Address.of(outcome.recipient).provider != party:
                continue  # a peer speaks for its own users alone
            sender = Address(User(outcome.sender), self._provider)
            roomy = self._accounts.roomy_mailboxes(sender)
            if not roomy and self._accounts.device_mailboxes(sender):
                refusals.append(Refusal(index, Code.MAILBOX_FULL.number))
                continue
            event = Event.BOUNCED if outcome.code else Event.DELIVERED
            traces.append(Trace(now_ms, event, outcome.recipient, outcome.code, outcome.ids))
            news.add(roomy, outcome)
        return Settle(0, (), (), traces, news.reports(), now_ms + REPORT_EXPIRY_S * SECOND_MS), refusals

    def _bounce(
        self,
        news: News,
        refused: Iterable[tuple[Parcel, int, int]],
        party: str,
        recipient: Address | None,
        now_ms: WallMs,
    ) -> list[Trace]:
        """`party`: for the trace; `recipient`: the one concerned, or None for all that the envelope names."""
        traces = []
        for parcel, index, code in refused:
            if parcel.kind is not ParcelKind.ENVELOPES:
                continue  # news that cannot be told end here
            envelope, id_ = decode_envelope(parcel.items[index]), parcel.ids[index]
            concerned = [str(recipient)] if recipient else [f"{user}@{envelope.provider}" for user in envelope.users]
            for each in concerned:
                self.tell(news, envelope.sender, each, code, now_ms, [id_])
            event = Event.EXPIRED if code == Code.EXPIRED.number else Event.BOUNCED
            traces.append(Trace(now_ms, event, party, code, id_))
        return traces

    # ── telling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, news: News, sender: str, recipient: str, code: int, at_ms: WallMs, ids: Sequence[bytes]) -> None:
        """Add outcomes for a sender, here or at another provider; one whose provider was forgotten is told nothing.

        What became of the envelopes on their way to one recipient; code 0: delivered.
        """
        to = Address.of(sender)
        if to.provider == self._provider:
            mailboxes = self._accounts.device_mailboxes(to)
        else:
            mailbox = self._peers.mailbox_to(to.provider)
            mailboxes = () if mailbox is None else (mailbox,)
        for start in range(0, len(ids), BATCH_MAX_ENVELOPES):
            joined = b"".join(ids[start : start + BATCH_MAX_ENVELOPES])
            news.add(mailboxes, Outcome(to.user, recipient, code, at_ms, joined))

    def notify(self, sender: str, state: State, ids: Sequence[bytes], code: int, at_ms: WallMs) -> None:
        """Tell the sender's connected devices; whoever is not there can ask later."""
        for link in self._accounts.links_of(Address.of(sender)):
            link.tell(state, ids, code, at_ms)

    @staticmethod
    def by_sender(taken: Iterable[tuple[Parcel, Sequence[int]]]) -> dict[str, list[bytes]]:
        """The ids of envelopes by who sent them."""
        groups: dict[str, list[bytes]] = {}
        for parcel, indexes in taken:
            if parcel.kind is not ParcelKind.ENVELOPES:
                continue
            senders = senders_of(parcel)
            for index in indexes:
                groups.setdefault(senders[index], []).append(parcel.ids[index])
        return groups


def _taken(at_ms: WallMs, event: Event, party: str, by_sender: dict[str, list[bytes]]) -> Trace:
    return Trace(at_ms, event, party, 0, b"".join(id_ for ids in by_sender.values() for id_ in ids))


def senders_of(parcel: Parcel) -> Sequence[str]:
    """Of each envelope; decoded if the parcel was read from the disk."""
    if parcel.senders:
        return parcel.senders
    try:
        return [decode_envelope(item).sender for item in parcel.items]
    except PeerFault as fault:  # it was decoded before it was stored
        raise ValueError(f"parcel {parcel.seq} holds no envelope: {fault}") from fault
