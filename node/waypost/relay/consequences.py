"""What follows when the next hop has answered: traces, and news for the senders.

A peer's receipt makes an envelope `held`; a device's makes it `delivered`. Refused for good, it bounces. The senders' own
devices, or their node, learn of it by outcomes, which are kept in custody like envelopes are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from waypost.clock import Clock, WallMs
from waypost.errors import Code, PeerFault
from waypost.limits import BATCH_MAX_ENVELOPES, NOTICE_IDS_MAX, REPORT_EXPIRY_S
from waypost.protocol.envelope import decode_envelope
from waypost.protocol.messages import Notice, NoticeKind, Outcome
from waypost.protocol.outbox import Verdict
from waypost.relay.accounts import Accounts
from waypost.relay.ledger import Ledger
from waypost.relay.link import Link
from waypost.storage.store import Keep, Parcel, ParcelKind, Settlement, Trace

#: An envelope that its recipient's node does not take for now is tried again after this, whatever the node.
DEFER_S = 60


class Routes(Protocol):
    """Who can be told."""

    def mailbox_to(self, provider: str) -> int | None:
        """Of the outbox towards a peer that we have ever had a link with."""

    def links_of(self, address: str) -> Iterable[Link]:
        """The links of a local account's connected devices."""


@dataclass(slots=True)
class News:
    """Outcomes by the mailbox that they go to."""

    by_mailbox: dict[int, list[Outcome]] = field(default_factory=dict)

    def add(self, mailboxes: Iterable[int], outcome: Outcome) -> None:
        for mailbox in mailboxes:
            self.by_mailbox.setdefault(mailbox, []).append(outcome)

    def reports(self) -> tuple[tuple[int, Sequence[Outcome]], ...]:
        return tuple(self.by_mailbox.items())


class Consequences:
    """See the module."""

    def __init__(self, provider: str, accounts: Accounts, routes: Routes, ledger: Ledger, clock: Clock) -> None:
        self._provider = provider
        self._accounts = accounts
        self._routes = routes
        self._ledger = ledger
        self._clock = clock

    # ── after a receipt ─────────────────────────────────────────────────────────────────────────────────────────────

    def of_peer(self, mailbox: int, provider: str, verdict: Verdict[Parcel]) -> None:
        """A peer node has answered a batch from its outbox."""
        now_ms = self._clock.wall_ms()
        held = self.by_sender(verdict.taken)
        for sender, ids in held.items():
            self.notify(sender, NoticeKind.HELD, ids, 0, now_ms)
        self._settle(mailbox, provider, "held", verdict, (held, News(), now_ms))

    def of_device(self, mailbox: int, address: str, verdict: Verdict[Parcel]) -> None:
        """A local device has answered a batch from its inbox."""
        now_ms = self._clock.wall_ms()
        delivered = self.by_sender(verdict.taken)
        news = News()
        for sender, ids in delivered.items():
            self.tell(news, sender, address, 0, ids, now_ms)
        self._settle(mailbox, address, "delivered", verdict, (delivered, news, now_ms))

    def _settle(
        self,
        mailbox: int,
        party: str,
        event: str,
        verdict: Verdict[Parcel],
        taken: tuple[dict[str, list[bytes]], News, WallMs],
    ) -> None:
        by_sender, news, now_ms = taken
        traces = []
        if by_sender:
            traces.append(Trace(now_ms, event, party, 0, b"".join(id_ for ids in by_sender.values() for id_ in ids)))
        traces += self._bounce(news, ((r.entry, r.index, r.code) for r in verdict.bounced), party, now_ms)
        traces += [
            Trace(now_ms, "deferred", party, r.code, r.entry.ids[r.index]) for r in verdict.deferred if r.entry.ids
        ]
        due_ms = now_ms + 1000 * max((r.retry_s or DEFER_S for r in verdict.deferred), default=DEFER_S)
        keep = [Keep(seq, indexes, due_ms) for seq, indexes in verdict.keep]
        if verdict.done or keep or traces or news.by_mailbox:
            self._ledger.settle(
                Settlement(mailbox, verdict.done, keep, traces, news.reports(), now_ms + REPORT_EXPIRY_S * 1000)
            )

    # ── bounces from elsewhere ──────────────────────────────────────────────────────────────────────────────────────

    def bounce_items(
        self, mailbox: int, parcel: Parcel, indexes: Sequence[int], code: Code, keep: Keep | None = None
    ) -> None:
        """Give up these items of a parcel: expired, dropped by the operator, or the peer has gone."""
        now_ms = self._clock.wall_ms()
        news = News()
        refused = ((parcel, index, code.number) for index in indexes) if parcel.kind is ParcelKind.ENVELOPES else ()
        traces = self._bounce(news, refused, self._provider, now_ms)
        done = () if keep else (parcel.seq,)
        self._ledger.settle(
            Settlement(mailbox, done, (keep,) if keep else (), traces, news.reports(), now_ms + REPORT_EXPIRY_S * 1000)
        )

    def bounce_unreachable(self, envelope: bytes, id_: bytes, missing: Iterable[tuple[str, Code]]) -> None:
        """Some recipients of an envelope that was accepted for others."""
        now_ms = self._clock.wall_ms()
        news = News()
        sender = decode_envelope(envelope).sender
        traces = []
        for user, code in missing:
            recipient = f"{user}@{self._provider}"
            self.tell(news, sender, recipient, code.number, [id_], now_ms)
            traces.append(Trace(now_ms, "bounced", recipient, code.number, id_))
        self._ledger.settle(Settlement(0, (), (), traces, news.reports(), now_ms + REPORT_EXPIRY_S * 1000))

    def reported(self, party: str, outcomes: Iterable[Outcome]) -> Settlement:
        """A peer has told what became of envelopes that our users sent to its users."""
        now_ms = self._clock.wall_ms()
        news = News()
        traces = []
        for outcome in outcomes:
            if outcome.recipient.rpartition("@")[2] != party:
                continue  # a peer speaks for its own users alone
            event = "bounced" if outcome.code else "delivered"
            traces.append(Trace(now_ms, event, outcome.recipient, outcome.code, outcome.ids))
            news.add(self._accounts.device_mailboxes(f"{outcome.sender}@{self._provider}"), outcome)
        return Settlement(0, (), (), traces, news.reports(), now_ms + REPORT_EXPIRY_S * 1000)

    def _bounce(
        self, news: News, refused: Iterable[tuple[Parcel, int, int]], party: str, now_ms: WallMs
    ) -> list[Trace]:
        traces = []
        for parcel, index, code in refused:
            if parcel.kind is not ParcelKind.ENVELOPES:
                continue  # news that cannot be told end here
            envelope = decode_envelope(parcel.items[index])
            for user in envelope.users:
                self.tell(news, envelope.sender, f"{user}@{envelope.provider}", code, [parcel.ids[index]], now_ms)
            traces.append(
                Trace(now_ms, "expired" if code == Code.EXPIRED.number else "bounced", party, code, parcel.ids[index])
            )
        return traces

    # ── telling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, news: News, sender: str, recipient: str, code: int, ids: Sequence[bytes], at_ms: WallMs) -> None:
        """Add outcomes for a sender, here or at another provider."""
        user, _, provider = sender.rpartition("@")
        if provider == self._provider:
            mailboxes = self._accounts.device_mailboxes(sender)
        else:
            mailbox = self._routes.mailbox_to(provider)
            mailboxes = () if mailbox is None else (mailbox,)
        for start in range(0, len(ids), BATCH_MAX_ENVELOPES):
            joined = b"".join(ids[start : start + BATCH_MAX_ENVELOPES])
            news.add(mailboxes, Outcome(user, recipient, code, at_ms, joined))

    def notify(self, sender: str, kind: NoticeKind, ids: Sequence[bytes], code: int, at_ms: WallMs) -> None:
        """Tell the sender's connected devices; whoever is not there can ask later."""
        for link in self._routes.links_of(sender):
            for start in range(0, len(ids), NOTICE_IDS_MAX):
                joined = b"".join(ids[start : start + NOTICE_IDS_MAX])
                link.session.notice(Notice(kind, code, at_ms, joined))
            link.wake()

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


def senders_of(parcel: Parcel) -> Sequence[str]:
    """Of each envelope; decoded if the parcel was read from the disk."""
    if parcel.senders:
        return parcel.senders
    try:
        return [decode_envelope(item).sender for item in parcel.items]
    except PeerFault as fault:  # it was decoded before it was stored
        raise ValueError(f"parcel {parcel.seq} holds no envelope: {fault}") from fault
