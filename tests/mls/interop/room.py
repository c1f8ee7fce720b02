"""A group of clients of several implementations, where everyone hears everything, in order."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes

import pytest
from tests.mls.interop.clients import EMPTY, Client, Ours, Refusal, Wanted
from tests.mls.interop.mls_rs import RineMls
from tests.mls.interop.ts_mls import TsMls, refuses_tree


class Room:
    """`members` by name. The creator is alone in it at first."""

    def __init__(self, name: str, creator: Client) -> None:
        self.members = {name: creator}
        self._said = 0
        creator.create(token_bytes(16))

    def add(self, by: str, **newcomers: Client) -> None:
        """Who cannot join by a fault of its own is removed again by one of ours."""
        sent = self.members[by].commit(Wanted(add=[client.key_package() for client in newcomers.values()]))
        self.everyone_hears(by, sent.message)
        welcomes = sent.welcomes * len(newcomers) if len(sent.welcomes) == 1 else sent.welcomes
        refused = []
        for (name, client), welcome in zip(newcomers.items(), welcomes, strict=True):
            if isinstance(client, TsMls) and self._has_tree_that_ts_mls_refuses():
                with pytest.raises(Refusal, match="must list leaf node in its unmerged_leaves"):
                    client.join(welcome)
                refused.append(client.identity)
            else:
                client.join(welcome)
                self.members[name] = client
        self.check()
        if refused:
            ours = next(name for name, client in self.members.items() if isinstance(client, Ours))
            self.commit(ours, Wanted(remove=refused))

    def remove(self, by: str, name: str) -> Client:
        """The client that has been removed; it does not hear of it."""
        # So that clients of mls-rs know it, see `MlsRs`.
        self.say(name)
        gone = self.members.pop(name)
        self.everyone_hears(by, self.members[by].commit(Wanted(remove=[gone.identity])).message)
        self.check()
        return gone

    def commit(self, by: str, wanted: Wanted = EMPTY) -> None:
        self.everyone_hears(by, self.members[by].commit(wanted).message)
        self.check()

    def settle(self) -> None:
        """Everyone who can makes an empty commit, so that no leaf stays unmerged."""
        for name, client in self.members.items():
            if not isinstance(client, RineMls):
                self.everyone_hears(name, client.commit().message)
        self.check()

    def everyone_hears(self, by: str, message: bytes, but: Sequence[str] = ()) -> None:
        for name, client in self.members.items():
            if name != by and name not in but:
                assert client.hear(message) is None, f"{name} takes a handshake message of {by} for data"

    def talk(self) -> None:
        """Everyone says something that everyone else reads."""
        for name in self.members:
            self.say(name)

    def say(self, by: str) -> None:
        """One says something that everyone else reads. It begins with the speaker's identity."""
        self._said += 1
        data = b"%s: message %d" % (self.members[by].identity.hex().encode(), self._said)
        message = self.members[by].encrypt(data)
        for name, client in self.members.items():
            if name != by:
                assert client.hear(message) == data, f"{name} does not understand {by}"

    def check(self) -> None:
        """All are in one epoch with one key schedule. Each time another member says something.

        In a room of two both do.
        """
        told = [client.export(b"interop", b"epoch", 32) for client in self.members.values()]
        assert len(set(told) - {None}) == 1, "exporters differ"
        assert len({client.epoch for client in self.members.values()} - {None}) <= 1, "epochs differ"
        authenticators = {client.authenticator for client in self.members.values() if isinstance(client, Ours | TsMls)}
        assert len(authenticators) <= 1, "epoch authenticators differ"
        names = list(self.members)
        for name in names if len(names) == 2 else [names[self._said % len(names)]]:
            self.say(name)

    def _has_tree_that_ts_mls_refuses(self) -> bool:
        groups = [client.group for client in self.members.values() if isinstance(client, Ours)]
        return bool(groups) and refuses_tree(groups[0].snapshot.epoch.tree)
