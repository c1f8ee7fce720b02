"""For the time being: each operation as a method, for callers that do not speak in operations yet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from waypost.clock import WallMs
from waypost.ids import Provider, User
from waypost.protocol.directory.reach import reach_of
from waypost.storage.caches import Usages
from waypost.storage.operations import accounts as people
from waypost.storage.operations import keys, mail
from waypost.storage.operations import mailboxes as boxes
from waypost.storage.operations import peers as others
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Take
from waypost.storage.pending import Pending

T = TypeVar("T")


class Verbs(ABC):
    """See the module."""

    _usages: Usages

    @abstractmethod
    def submit(self, operation: Operation[T]) -> Pending[T]: ...

    @abstractmethod
    async def read(self, question: Question[T]) -> T: ...

    @abstractmethod
    def changes(self, take: Take) -> None: ...

    def accept(self, deposit: mail.Deposit) -> Pending[mail.Accepted]:
        return self.submit(mail.Accept(deposit))

    def settle(self, settlement: mail.Settlement) -> Pending[tuple[mail.Placed, ...]]:
        return self.submit(mail.Settle(settlement))

    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> Pending[tuple[mail.Placed, ...]]:
        return self.submit(mail.Requeue(now_ms, mailbox))

    async def next_due(self) -> WallMs:
        return await self.read(mail.NextDue())

    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[mail.Parcel]:
        return await self.read(mail.Fetch(mailbox, after, max_items, max_bytes))

    async def kept(self, mailbox: int, max_items: int) -> list[mail.Parcel]:
        return await self.read(mail.Kept(mailbox, max_items))

    async def expiring(self, now_ms: WallMs, max_items: int) -> list[mail.Placed]:
        return await self.read(mail.Expiring(now_ms, max_items))

    async def trace(self, id_: bytes) -> list[mail.Trace]:
        return await self.read(mail.TraceOf(id_))

    def prune(self, now_ms: WallMs) -> Pending[None]:
        return self.submit(mail.Prune(now_ms))

    def open_mailbox(self, kind: boxes.MailboxKind, owner: str) -> Pending[int]:
        return self.submit(boxes.OpenMailbox(kind, owner))

    async def load_usage(self) -> None:
        """For `usage`. Before anything is submitted."""
        told = {info.id: info.usage for info in await self.read(boxes.AllMailboxes())}
        self._usages.take((boxes.UsageTold(told),))

    def usage(self, mailbox: int) -> boxes.Usage:
        return self._usages.of(mailbox)

    async def mailboxes(self) -> list[boxes.MailboxInfo]:
        return await self.read(boxes.AllMailboxes())

    def add_account(self, user: User, at_ms: WallMs) -> Pending[None]:
        return self.submit(people.AddAccount(user, at_ms))

    def remove_account(self, user: User) -> Pending[tuple[int, ...]]:
        return self.submit(people.RemoveAccount(user))

    async def accounts(self) -> list[people.Account]:
        return await self.read(people.AllAccounts())

    async def devices(self) -> list[people.Device]:
        return await self.read(people.AllDevices())

    def set_reach(self, user: User, reach: str, providers: Sequence[Provider]) -> Pending[None]:
        return self.submit(people.ChangeReach(user, reach_of(reach, providers)))

    def add_invite(self, token_hash: bytes, user: User, expires_ms: WallMs) -> Pending[None]:
        return self.submit(people.AddInvite(token_hash, user, expires_ms))

    async def invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        return await self.read(people.Invited(token_hash, now_ms))

    def join(self, token_hash: bytes, device: people.Device, device_list: bytes) -> Pending[people.Device]:
        return self.submit(people.AddDevice(token_hash, device, device_list))

    def publish(
        self,
        device: bytes,
        upload: bytes,
        at_ms: WallMs,
        packages: Sequence[keys.StoredPackage],
        last_resort: keys.StoredPackage | None,
    ) -> Pending[int]:
        return self.submit(keys.AddPackages(device, upload, at_ms, packages, last_resort))

    def claim(self, user: User, suites: Sequence[str], at_ms: WallMs) -> Pending[list[keys.Issued]]:
        return self.submit(keys.IssuePackages(user, suites, at_ms))

    async def answered(self, request: bytes, digest: bytes) -> bytes | None:
        return await self.read(keys.AnswerTo(request, digest))

    def remember_answer(self, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> Pending[None]:
        return self.submit(keys.RememberAnswer(request, digest, answer, at_ms))

    async def packages_left(self, device: bytes, at_ms: WallMs) -> int:
        return await self.read(keys.PackagesLeft(device, at_ms))

    def save_peer(self, peer: others.PeerRow) -> Pending[None]:
        return self.submit(others.SavePeer(peer))

    def forget_peer(self, provider: Provider) -> Pending[None]:
        return self.submit(others.ForgetPeer(provider))

    async def peers(self) -> list[others.PeerRow]:
        return await self.read(others.AllPeers())
