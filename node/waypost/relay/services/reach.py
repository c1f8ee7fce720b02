"""Who may write to an account from elsewhere: its devices ask and say."""

from __future__ import annotations

from waypost.errors import Code, Refused
from waypost.ids import Provider, is_canonical_provider
from waypost.protocol.directory.asks import AskReach, ReachReply
from waypost.protocol.directory.reach import Reach, ReachMode, reach_of
from waypost.relay.accounts import Accounts
from waypost.relay.services.service import Asker, Caller, Reply, Service, Table, reply

_SHOW = "show"  #: changes nothing


class ReachOfAccounts:
    """See the module."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.table: Table = {AskReach: Service(frozenset({Asker.DEVICE}), self._ask_reach)}

    async def _ask_reach(self, caller: Caller, ask: AskReach) -> Reply:
        user = caller.account
        if ask.mode != _SHOW:
            await self._accounts.change_reach(user, _wanted(ask))
        return reply(ReachReply(user.account.reach.mode, user.account.reach.providers))


def _wanted(ask: AskReach) -> Reach:
    """Raises Refused(BAD_REQUEST)."""
    try:
        reach = reach_of(ask.mode, tuple(Provider(name) for name in ask.providers))
    except ValueError:
        raise Refused(Code.BAD_REQUEST) from None
    if reach.mode is ReachMode.DEFAULT or not all(map(is_canonical_provider, reach.providers)):
        raise Refused(Code.BAD_REQUEST)
    return reach
