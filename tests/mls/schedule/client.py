"""A client as one should be written: it stores what a step returned together with what is to be sent, then sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scripts.support.mls.members import NOW, Seeded, bundle, content, signer
from tests.mls.schedule.hub import Hub, Kind, Letter, Violation
from tests.mls.schedule.steps import Crash

from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.suites import CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import ApplicationMessage, Group, Processed, ProposalMessage, StagedCommit
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.epoch import GroupState, GroupStatus
from waypost.mls.steps.joining import JoinOptions

PSKS = Psks({b"shared": b"by all of them"})
#: What an honest message may meet when it comes late or again.
LATE = {
    Kind.TEXT: {MlsFault.EPOCH_FORGOTTEN, MlsFault.GROUP_CLOSED},
    Kind.PROPOSAL: {
        MlsFault.WRONG_EPOCH,
        MlsFault.GENERATION_CONSUMED,
        MlsFault.PROPOSAL_REPLAYED,
        MlsFault.GROUP_CLOSED,
    },
    Kind.WELCOME: {MlsFault.NO_KEY_PACKAGE},
}


@dataclass(frozen=True)
class Disk:
    """What outlives a crash. It is written as a whole."""

    group: bytes | None = None
    outbox: tuple[Letter, ...] = ()
    bundles: tuple[bytes, ...] = ()
    #: A group joined from outside, the commit, and the epoch that it ends, until the hub has decided.
    joining: tuple[bytes, bytes, int] | None = None
    read: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Surroundings:
    """What all clients share. `send` delivers a letter; `gone` is told of each who is removed, and by what commit."""

    hub: Hub
    random: Seeded
    suite: CipherSuite
    send: Callable[[Letter], None]
    entered: Callable[[Group], None]
    gone: Callable[[GroupState, bytes], None]


class Client:
    """One that follows the rules. `group` is what a crash takes away."""

    #: A mistake to be found: what is sent leaves before it has been stored.
    sends_first = False

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.around = around
        self.disk = Disk()
        self.group: Group | None = None
        self.arrived: list[Letter] = []

    @property
    def active(self) -> Group | None:
        """The group while this client is a member, as far as it knows."""
        return self.group if self.group is not None and self.group.status is GroupStatus.ACTIVE else None

    @property
    def behind(self) -> bool:
        """Whether the hub has a commit that this client has yet to apply."""
        return self.active is not None and self.active.epoch in self.around.hub.commits

    # ── storing, sending, dying ──────────────────────────────────────────────────────────────────────────────────

    def keep(self, disk: Disk, crash: Crash, *letters: Letter) -> bool:
        """Store, then send. False if the process died before anything was stored."""
        if self.sends_first:
            for letter in letters:
                self.around.send(letter)
        if crash is Crash.BEFORE_STORING:
            self.restart()
            return False
        self.disk = replace(disk, outbox=(*disk.outbox, *letters))
        if crash is not Crash.BEFORE_SENDING:
            self._send_all()
        if crash is Crash.NOT:
            self.disk = replace(self.disk, outbox=())
        else:
            self.restart()
        return True

    def stored(self, after: Group) -> Disk:
        """The disk with that group, which from now on is the client's own."""
        self.group = after
        return replace(self.disk, group=after.state())

    def restart(self) -> None:
        """Go on from what was stored, and send again what may not have been sent."""
        if self.disk.joining is not None:
            self._decide_joining(*self.disk.joining)
        self.group = None if self.disk.group is None else Group.load(self.disk.group)
        self._send_all()
        self.disk = replace(self.disk, outbox=())

    def _send_all(self) -> None:
        for letter in self.disk.outbox:
            self.around.send(letter)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, letter: Letter, crash: Crash) -> bool:
        """Read a letter; False if it must stay, because its time has not come or the client died first."""
        try:
            if letter.kind is Kind.WELCOME:
                return self.active is not None or self._join(letter, crash)
            if self.group is None:
                return False
            processed = self.group.process(letter.message, NOW, PSKS)
        except MlsError as error:
            return self._refused(letter, error)
        return self._take(letter, processed, crash)

    def _refused(self, letter: Letter, error: MlsError) -> bool:
        if error.fault is MlsFault.EPOCH_AHEAD:
            return False
        again = error.fault is MlsFault.GENERATION_CONSUMED and letter.message in self.disk.read
        if error.fault not in LATE[letter.kind] and not again:
            raise Violation(f"{self.name} cannot read {letter}: {error}") from error
        return True

    def _take(self, letter: Letter, processed: Processed, crash: Crash) -> bool:
        if isinstance(processed, ApplicationMessage):
            self._check(letter, processed)
            disk = self.stored(processed.group)
            return self.keep(replace(disk, read=disk.read | {letter.message}), crash)
        assert isinstance(processed, ProposalMessage)
        return self.keep(self.stored(processed.group), crash)

    def _check(self, letter: Letter, read: ApplicationMessage) -> None:
        if letter.message in self.disk.read:
            raise Violation(f"{self.name} reads twice")
        if self.name not in letter.audience:
            raise Violation(f"{self.name} reads what is not for it")
        if (read.data, read.credential) != (letter.data, content(letter.sender).credential):
            raise Violation(f"{self.name} reads something else, or from another")

    def fetch_proposals(self) -> None:
        """Read all proposals of this epoch that the hub has."""
        assert self.active is not None
        for letter in tuple(self.around.hub.proposals[self.active.epoch]):
            if letter.sender != self.name:
                self.hear(letter, Crash.NOT)

    def follow(self, crash: Crash) -> bool:
        """Apply the next commit that the hub has accepted; False if there is none."""
        if not self.behind:
            return False
        self.fetch_proposals()
        group = self.active
        assert group is not None
        message, pending = self.around.hub.commits[group.epoch], group.pending
        try:
            staged = group.process(message, NOW, PSKS)
            assert isinstance(staged, StagedCommit)
            welcomes = pending.welcomes if staged.own and pending is not None else ()
            before = group.snapshot
            after = staged.apply(NOW)
        except MlsError as error:
            raise Violation(f"{self.name} cannot follow: {error}") from error
        letters = (Letter(Kind.WELCOME, self.name, each.message) for each in welcomes)
        if not self.keep(self.stored(after), crash, *letters):
            return True
        if after.status is GroupStatus.REMOVED:
            self.around.gone(before, message)
        else:
            self.around.entered(after)
        return True

    # ── joining ──────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self) -> KeyPackage:
        """A fresh key package; its secrets are stored first."""
        made = bundle(self.name, self.around.random, self.around.suite)
        self.disk = replace(self.disk, bundles=(*self.disk.bundles, made.serialize()))
        return made.key_package

    def _join(self, letter: Letter, crash: Crash) -> bool:
        for each in self.disk.bundles:
            try:
                joined = Group.join(letter.message, KeyPackageBundle.restore(each), JoinOptions(PSKS))
            except MlsError as error:
                self._refused(letter, error)
                continue
            left = tuple(other for other in self.disk.bundles if other != each)
            kept = self.keep(replace(self.stored(joined), bundles=left), crash)
            if kept:
                self.around.entered(joined)
            return kept
        return True

    def join_from_outside(self, group_info: bytes, epoch: int, resync: int | None, crash: Crash) -> None:
        """Join or come back by an external commit, which the hub may refuse."""
        options = ExternalJoinOptions(content(self.name), signer(self.name), resync)
        joined, commit = join_by_external_commit(group_info, options, self.around.random, NOW)
        if crash is Crash.BEFORE_STORING:
            self.restart()
            return
        self.disk = replace(self.disk, joining=(joined.state(), commit, epoch))
        if crash is Crash.NOT or crash is Crash.BEFORE_NOTING_THE_SENDING:
            self.around.hub.submit(commit)
        self.restart()

    def _decide_joining(self, state: bytes, commit: bytes, epoch: int) -> None:
        accepted = self.around.hub.commits.get(epoch) == commit
        self.disk = replace(self.disk, joining=None, group=state if accepted else self.disk.group)
        if accepted:
            self.around.entered(Group.load(state))
