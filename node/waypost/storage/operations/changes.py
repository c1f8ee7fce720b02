"""What a store tells of its commits; see `Store.changes`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from waypost.storage.operations.accounts import AccountChanged, AccountsTold
from waypost.storage.operations.mail import KeptBack, Left, Placed
from waypost.storage.operations.mailboxes import UsageTold
from waypost.storage.operations.peers import PeerChanged, PeersTold


class Subject(Enum):
    """What changes are about."""

    MAIL = "mail"
    ACCOUNTS = "accounts"
    KEYS = "keys"
    PEERS = "peers"


class Look(NamedTuple):
    """Another process may have changed something: look again."""

    subject: Subject


Change = Placed | Left | KeptBack | UsageTold | AccountChanged | AccountsTold | PeerChanged | PeersTold | Look

#: Called with the changes of one commit, in their order.
Take = Callable[[tuple[Change, ...]], None]
