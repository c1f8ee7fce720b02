"""Nodes tell each other which node records they know."""

from __future__ import annotations

from waypost.protocol.directory.asks import Records, RecordsReply
from waypost.relay.federation.record_book import RecordBook
from waypost.relay.peers import Peers
from waypost.relay.services.service import Asker, Caller, Reply, Service, Table, reply


class RecordExchange:
    """See the module."""

    def __init__(self, peers: Peers, records: RecordBook) -> None:
        self._peers = peers
        self._records = records
        self.table: Table = {Records: Service(frozenset({Asker.NODE}), self._exchange)}

    async def _exchange(self, caller: Caller, ask: Records) -> Reply:
        self._records.merge(ask.records, self._peers.get(caller.source))
        return reply(RecordsReply(self._records.known()))
