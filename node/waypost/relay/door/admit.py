"""Which peers are let in: the policy, asked with all that is known of the one at the door."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from waypost.clock import Clock
from waypost.errors import Code, PeerFault, Refused
from waypost.ids import Provider
from waypost.protocol.directory.record import NodeRecord, open_record
from waypost.protocol.directory.trust import Trust
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.relay.federation.lookup import Lookup
from waypost.relay.federation.record_book import RecordBook
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers
from waypost.relay.settings import Settings
from waypost.routing import policy


class Admission:
    """See the module."""

    def __init__(self, settings: Settings, peers: Peers, records: RecordBook, lookup: Lookup, clock: Clock) -> None:
        self._provider = settings.provider
        self._mode = settings.mode
        self._peers = peers
        self._records = records
        self._lookup = lookup
        self._clock = clock

    async def admit(self, identity: PeerIdentity, dialed: Peer | None) -> Peer:
        """The peer, if the policy lets it in; `dialed`: the one that we have dialled.

        Raises PeerFault; and Refused, with advice for our operator as the detail.
        """
        name = Provider(identity.name)
        record = self._record_of(identity)
        peers = self._peers
        known = peers.get(name) if name != self._provider else None
        dns = policy.DnsEvidence.NONE
        if known is None or not known.row.key:
            dns = await self._lookup.evidence(name, identity.key)
        candidate = policy.Candidate(
            name,
            identity.key,
            record,
            known.row if known else None,
            dns,
            known.configured_key if known else None,
            dialed_configured=dialed is not None and "static" in dialed.endpoints,
        )
        verdict = policy.admit(candidate, self._provider, self._mode)
        if isinstance(verdict, policy.Deny) and verdict.code is Code.KEY_CHANGED:
            # It stays refused; what the DNS says helps the operator to judge.
            with suppress(Refused):  # the DNS could not be asked
                dns = await self._lookup.evidence(name, identity.key)
                verdict = policy.admit(replace(candidate, dns=dns), self._provider, self._mode)
        if isinstance(verdict, policy.Deny):
            peers.note_refused(name, identity.key)
            raise Refused(verdict.code, verdict.advice)
        peer = peers.get(name) or peers.add(name)
        if peer is None:
            raise Refused(Code.TOO_MANY_LINKS)
        peers.admitted(peer, identity, verdict.pin or Trust.NONE)
        if identity.record:
            self._records.take(peer, identity.record, self._clock.wall_ms())
        peers.save(peer)
        peer.needed = True
        peers.wake(peer)
        return peer

    def _record_of(self, identity: PeerIdentity) -> NodeRecord | None:
        """The record in its Hello. Raises PeerFault for one that does not fit the proven name and key."""
        if not identity.record:
            return None
        record = open_record(identity.record, self._clock.wall_ms()).record
        if record.name != identity.name or record.key != identity.key:
            raise PeerFault(Code.BAD_SIGNATURE, f"the record of {identity.name} is another node's")
        return record
