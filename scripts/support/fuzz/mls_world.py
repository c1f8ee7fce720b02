"""Groups of three in every cipher suite, and valid MLS messages of every kind for one of their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from scripts.support.mls.members import LIFETIME, NOW, Seeded, adding, bundle, content, signer, together

from waypost.mls.base.registry import GREASE, WireFormat
from waypost.mls.base.suites import SUITES, CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit, propose_externally, propose_own_add
from waypost.mls.group import Group, Processed, ProposalMessage, StagedCommit
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.extensions import Extension, ExternalSender, external_senders_extension
from waypost.mls.objects.key_package import KeyPackageBundle, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import Capabilities, LeafNodeContent
from waypost.mls.objects.proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, ReInit, Remove
from waypost.mls.objects.psk import ExternalPskId, Psks
from waypost.mls.steps.committing import CommitOptions, PathChoice, TreeDelivery, WelcomeSplit
from waypost.mls.steps.epoch import PendingCommit
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.steps.sending import Framing

PSKS = Psks({b"shared": bytes(range(32))})
PSK = PreSharedKey(ExternalPskId(b"shared", bytes(32)))
PUBLIC = Framing(WireFormat.PUBLIC_MESSAGE)
_FRAMINGS = (PUBLIC, Framing(), Framing(authenticated_data=b"seen by the hub", padding=24))
_TEXTS = (b"", b"a short one", b"A longer one, of several lines. " * 9)
_EXTERNAL = signer("external sender")
_EXTENSIONS = (external_senders_extension((ExternalSender(_EXTERNAL.public, BasicCredential(b"external")),)),)


def again(group: Group) -> Group:
    """The same state, unspent."""
    return Group(group.snapshot, group.rules)


def read(group: Group, message: bytes) -> Processed:
    """What the member makes of a message; it stays as it was."""
    return again(group).process(message, NOW, PSKS)


@dataclass(frozen=True)
class World:
    """Alice, bob and carol, in epoch 2. An Update of carol's waits for a commit; erin and dave are outside."""

    suite: CipherSuite
    #: As alice was before carol's proposal: with one waiting she may send no text.
    talking: Group
    alice: Group
    bob: Group
    carol: Group
    #: By alice, in epoch 1.
    late: bytes
    #: Carol's.
    update: bytes

    @cached_property
    def dave(self) -> KeyPackageBundle:
        return bundle("dave", Seeded(21), self.suite)

    @cached_property
    def joiner(self) -> JoinOptions:
        return JoinOptions(PSKS, tree=self._apart.tree)

    @cached_property
    def eve(self) -> ExternalJoinOptions:
        return ExternalJoinOptions(content("eve"), signer("eve"), tree=self.alice.ratchet_tree())

    # ── messages to bob ─────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def texts(self) -> tuple[bytes, ...]:
        """Application messages, of this epoch and of the last one."""
        random, group, found = Seeded(1), again(self.talking), [self.late]
        for text in _TEXTS:
            for framing in _FRAMINGS[1:]:
                group, message = group.encrypt(text, random, framing)
                found.append(message)
        return tuple(found)

    @cached_property
    def proposed(self) -> tuple[Proposal, ...]:
        """What alice may propose."""
        elsewhere = ReInit(b"the next group", 1, self.suite.value, _EXTENSIONS)
        return Add(self.dave.key_package), Remove(2), PSK, GroupContextExtensions(_EXTENSIONS), elsewhere

    @cached_property
    def proposals(self) -> tuple[bytes, ...]:
        random, found = Seeded(2), []
        for framing in _FRAMINGS:
            found += [again(self.talking).propose(each, random, NOW, framing)[1] for each in self.proposed]
            found.append(again(self.talking).propose_update(random, NOW, framing=framing)[1])
        group_id, epoch = self.alice.group_id, self.alice.epoch
        found += [
            propose_externally(group_id, epoch, 0, Remove(2), _EXTERNAL),
            propose_own_add(group_id, epoch, self.dave),
        ]
        return tuple(found)

    @cached_property
    def commits(self) -> tuple[bytes, ...]:
        found = [self.commit(options).message for framing in _FRAMINGS for options in self._options(framing)]
        for resync in (None, 2):
            name = "eve" if resync is None else "carol"
            options = ExternalJoinOptions(content(name), signer(f"{name} again"), resync)
            found.append(join_by_external_commit(self.group_infos[0], options, Seeded(3), NOW)[1])
        return tuple(found)

    def commit(self, options: CommitOptions) -> PendingCommit:
        """One of alice's."""
        return again(self.alice).commit(Seeded(4), NOW, options, PSKS)[1]

    def _options(self, framing: Framing) -> Sequence[CommitOptions]:
        """Carol's Update by reference, nothing at all, and each kind of proposal by value, with a path and without."""
        options = [CommitOptions(framing=framing), CommitOptions(references=(), framing=framing)]
        for proposal in self.proposed:
            path = PathChoice.WHEN_REQUIRED if framing is PUBLIC else PathChoice.ALWAYS
            options.append(CommitOptions((proposal,), (), framing, path))
        return options

    # ── to those outside ────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _apart(self) -> PendingCommit:
        return self.commit(CommitOptions((Add(self.dave.key_package),), (), tree=TreeDelivery.APART))

    @cached_property
    def welcomes(self) -> tuple[bytes, ...]:
        """For dave: alone, beside erin, with the tree and without, with a PSK."""
        add, erin = Add(self.dave.key_package), Add(bundle("erin", Seeded(22), self.suite).key_package)
        every = [
            self._apart,
            self.commit(CommitOptions((add,), ())),
            self.commit(CommitOptions((add, erin), (), path=PathChoice.WHEN_REQUIRED)),
            self.commit(CommitOptions((erin, add), (), split=WelcomeSplit.ONE_EACH)),
            self.commit(CommitOptions((add, PSK), ())),
        ]
        ref = self.dave.key_package.ref
        return tuple(welcome.message for made in every for welcome in made.welcomes if ref in welcome.new_members)

    @cached_property
    def group_infos(self) -> tuple[bytes, ...]:
        """For joining by an external commit."""
        other = (Extension(GREASE_EXTENSION, b"grease"),)
        return (
            again(self.alice).group_info(),
            again(self.bob).group_info(other),
            again(self.carol).group_info(tree=TreeDelivery.APART),
        )

    @cached_property
    def key_packages(self) -> tuple[bytes, ...]:
        greasy = Capabilities(extensions=(GREASE_EXTENSION,), proposals=(GREASE_EXTENSION,))
        dull, rich = content("dave"), LeafNodeContent(BasicCredential(b"rich"), greasy)
        specs = (
            KeyPackageSpec(self.suite, dull, LIFETIME),
            KeyPackageSpec(self.suite, rich, LIFETIME, (Extension(GREASE_EXTENSION, b"x"),)),
        )
        made = [make_key_package(spec, signer(f"device {at}"), Seeded(at)) for at, spec in enumerate(specs)]
        return (self.dave.key_package.message(), *(each.key_package.message() for each in made))


GREASE_EXTENSION = min(GREASE)


@cache
def worlds() -> tuple[World, ...]:
    """One for each suite."""
    return tuple(map(_world, SUITES.values()))


def _world(suite: CipherSuite) -> World:
    random = Seeded(suite.value)
    group_id = f"group in 0x{suite.value:04x}".encode()
    alice, bob, carol = together(("alice", "bob", "carol"), suite, random, _EXTENSIONS, group_id)
    alice, late = alice.encrypt(b"in epoch 1", random)
    alice, pending = alice.commit(random, NOW, adding(()))
    alice = alice.merge_pending(NOW)
    bob, carol = (_applied(group, pending.message) for group in (bob, carol))
    carol, update = carol.propose_update(random, NOW)
    told = []
    for group in (alice, bob):
        heard = again(group).process(update, NOW)
        assert isinstance(heard, ProposalMessage)
        told.append(heard.group)
    return World(suite, alice, told[0], told[1], carol, late, update)


def _applied(group: Group, message: bytes) -> Group:
    staged = group.process(message, NOW)
    assert isinstance(staged, StagedCommit)
    return staged.apply(NOW)
