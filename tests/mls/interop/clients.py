"""One client of one implementation, as the tests in this folder drive it, and ours as one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Final, Protocol

from waypost.mls.base.registry import ResumptionPskUsage, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import X25519_AES128, CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import ApplicationMessage, Group, StagedCommit
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.extensions import Extensions, RequiredCapabilities
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.key_package import KeyPackage, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNodeContent, Lifetime
from waypost.mls.objects.proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, ReInit, Remove
from waypost.mls.objects.psk import ExternalPskId, Psks
from waypost.mls.reinit import SuccessorOptions, branch, reinitialise
from waypost.mls.steps.committing import CommitOptions, PathChoice
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.steps.sending import Framing

PRIVATE: Final = Framing(padding=32)
PUBLIC: Final = Framing(WireFormat.PUBLIC_MESSAGE)


def now() -> int:
    """The partners look at the clock themselves, so the tests must too."""
    return int(time.time())


class Refusal(Exception):
    """A partner has refused something, in its words."""


@dataclass(frozen=True)
class Wanted:
    """What a commit or proposal is to do: key packages to add, identities to remove, ids of external PSKs, at most
    one group context extension.
    """

    add: Sequence[bytes] = ()
    remove: Sequence[bytes] = ()
    psks: Sequence[bytes] = ()
    required: Sequence[RequiredCapabilities] = ()
    #: Group id and cipher suite of the new group, alone and at most once.
    reinit: Sequence[tuple[bytes, int]] = ()


@dataclass(frozen=True)
class Sent:
    """A commit, with the Welcomes if it adds clients: one for all of them, or one each in their order."""

    message: bytes
    welcomes: tuple[bytes, ...] = ()


EMPTY: Final = Wanted()


class Client(Protocol):
    """A client of any implementation. Messages are encoded MLSMessages."""

    @property
    def identity(self) -> bytes:
        """That of its basic credential."""

    @property
    def epoch(self) -> int | None:
        """None where the partner does not tell it."""

    def key_package(self) -> bytes: ...

    def create(self, group_id: bytes) -> None: ...

    def join(self, welcome: bytes) -> None: ...

    def commit(self, wanted: Wanted = EMPTY) -> Sent:
        """A commit that the client merges at once."""

    def hear(self, message: bytes) -> bytes | None:
        """Process a message of another member and apply what it does; the data of an application message."""

    def encrypt(self, data: bytes) -> bytes: ...

    def export(self, label: bytes, context: bytes, length: int) -> bytes | None:
        """MLS-Exporter; None where the partner's interface lacks it."""


class Staging(Client, Protocol):
    """What only some interfaces offer."""

    def prepare(self, wanted: Wanted = EMPTY) -> Sent:
        """A commit that is not merged until `merge`; hearing another's drops it."""

    def merge(self) -> None: ...

    def propose(self, wanted: Wanted) -> bytes:
        """One proposal, to be committed by reference."""

    def group_info(self) -> bytes: ...

    def join_externally(self, group_info: bytes, resync: Client | None = None) -> bytes:
        """The external commit; the client goes on as if it had been accepted."""

    def give_psk(self, psk_id: bytes, secret: bytes) -> None: ...


@dataclass
class Ours:
    """A client of this project. Its state goes through bytes at every step."""

    name: str
    suite: CipherSuite = X25519_AES128
    framing: Framing = PRIVATE
    path: PathChoice = PathChoice.ALWAYS
    psks: dict[bytes, bytes] = field(default_factory=dict)
    #: Of the groups that this client creates.
    extensions: Extensions = ()

    def __post_init__(self) -> None:
        self._signer = SignatureKey(token_bytes(32))
        self._content = LeafNodeContent(BasicCredential(self.name.encode()))
        self._lifetime = Lifetime(now() - 3_600, now() + 86_400)
        spec = KeyPackageSpec(self.suite, self._content, self._lifetime)
        self._bundle = make_key_package(spec, self._signer, token_bytes)
        self._group: Group | None = None

    @property
    def group(self) -> Group:
        assert self._group is not None
        return self._group

    @group.setter
    def group(self, group: Group) -> None:
        self._group = Group.load(group.state())

    @property
    def identity(self) -> bytes:
        return self.name.encode()

    @property
    def epoch(self) -> int:
        return self.group.epoch

    @property
    def authenticator(self) -> bytes:
        return self.group.epoch_authenticator

    def key_package(self) -> bytes:
        return self._bundle.key_package.message()

    def create(self, group_id: bytes) -> None:
        spec = GroupSpec(group_id, self.suite, self._content, self._lifetime, self.extensions)
        self.group = Group.create(spec, self._signer, token_bytes)

    def join(self, welcome: bytes) -> None:
        self.group = Group.join(welcome, self._bundle, JoinOptions(self._known()))

    def commit(self, wanted: Wanted = EMPTY) -> Sent:
        sent = self.prepare(wanted)
        self.merge()
        return sent

    def prepare(self, wanted: Wanted = EMPTY) -> Sent:
        options = CommitOptions(tuple(self._proposals(wanted)), framing=self.framing, path=self.path)
        self.group, pending = self.group.commit(token_bytes, now(), options, self._known())
        return Sent(pending.message, tuple(welcomed.message for welcomed in pending.welcomes))

    def merge(self) -> None:
        self.group = self.group.merge_pending(now())

    def propose(self, wanted: Wanted) -> bytes:
        (proposal,) = self._proposals(wanted)
        self.group, message = self.group.propose(proposal, token_bytes, now(), self.framing)
        return message

    def propose_update(self) -> bytes:
        self.group, message = self.group.propose_update(token_bytes, now(), framing=self.framing)
        return message

    def hear(self, message: bytes) -> bytes | None:
        heard = self.group.process(message, now(), self._known())
        if isinstance(heard, StagedCommit):
            after = heard.apply(now())
            self._group = after if heard.changes.removes_self else Group.load(after.state())
            return None
        self.group = heard.group
        return heard.data if isinstance(heard, ApplicationMessage) else None

    def encrypt(self, data: bytes) -> bytes:
        self.group, message = self.group.encrypt(data, token_bytes, PRIVATE)
        return message

    def export(self, label: bytes, context: bytes, length: int) -> bytes | None:
        return self.group.export_secret(label, context, length)

    def group_info(self) -> bytes:
        return self.group.group_info()

    def join_externally(self, group_info: bytes, resync: Client | None = None) -> bytes:
        index = None if resync is None else self.members()[resync.identity]
        options = ExternalJoinOptions(self._content, self._signer, index)
        self.group, message = join_by_external_commit(group_info, options, token_bytes, now())
        return message

    def give_psk(self, psk_id: bytes, secret: bytes) -> None:
        self.psks[psk_id] = secret

    def _known(self) -> Psks:
        return Psks(self.psks)

    def _proposals(self, wanted: Wanted) -> list[Proposal]:
        proposals: list[Proposal] = []
        for message in wanted.add:
            package = decode_message(message)
            assert isinstance(package, KeyPackage)
            proposals.append(Add(package))
        proposals += (Remove(self.members()[identity]) for identity in wanted.remove)
        proposals += (PreSharedKey(ExternalPskId(psk_id, token_bytes(32))) for psk_id in wanted.psks)
        proposals += (GroupContextExtensions((required.extension(),)) for required in wanted.required)
        proposals += (ReInit(group_id, 1, suite) for group_id, suite in wanted.reinit)
        return proposals

    def succeed(self, old: Ours, packages: Sequence[bytes], group_id: bytes, usage: ResumptionPskUsage) -> bytes:
        """Make the group that the old one was reinitialised to, or a branch of it; the Welcome."""
        read = [decode_message(package) for package in packages]
        added = [package for package in read if isinstance(package, KeyPackage)]
        options = SuccessorOptions(added, self._content, self._lifetime, self._signer)
        if usage is ResumptionPskUsage.REINIT:
            made, pending = reinitialise(old.group, options, token_bytes, now())
            assert made.group_id == group_id
        else:
            made, pending = branch(old.group, group_id, options, token_bytes, now())
        self.group = made.merge_pending(now())
        return pending.welcomes[0].message

    def join_successor(self, old: Ours, welcome: bytes, tree: bytes | None = None) -> None:
        self.group = Group.join(welcome, self._bundle, JoinOptions(tree=tree, predecessor=old.group.snapshot))

    def members(self) -> dict[bytes, int]:
        """Leaf indices by identity."""
        found = {}
        for member in self.group.members():
            assert isinstance(member.credential, BasicCredential)
            found[member.credential.identity] = member.leaf_index
        return found
