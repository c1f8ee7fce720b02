"""What a member can do, or one who may join: spoil a structure, then sign, tag and encrypt it as it should be.

Such a message may be valid. Then it must do what it says in the name of the one who signed it, and nothing else; that
is what the decoders here assert of all that is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scripts.support.fuzz import mls_signing as sign
from scripts.support.fuzz.mls_world import PSKS, World, again, read, worlds
from scripts.support.fuzz.target import Target, mls_target
from scripts.support.mls.members import NOW, Seeded, signer

from waypost.mls.base.bounds import Rules
from waypost.mls.base.registry import SenderType, WireFormat
from waypost.mls.external import join_by_external_commit
from waypost.mls.group import ApplicationMessage, Group, ProposalMessage, StagedCommit
from waypost.mls.objects.commit import Commit, ProposalRef
from waypost.mls.objects.framing import PublicMessage, Sender, decode_message, encode_message
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, Remove, encode_proposal
from waypost.mls.steps.changes import Changes
from waypost.mls.tree.leaf_validation import GroupParameters, check_key_package

_ALICE = Sender(SenderType.MEMBER, 0)


def inside() -> Iterator[Target]:
    """By alice, who is a member, and by the owner of a key package."""
    for name, decode, seeds in (
        ("application", _text, sign.plaintexts),
        ("proposal", _proposal, lambda world: [encode_proposal(each) for each in world.proposed]),
        ("commit", _commit, sign.commit_bodies),
        ("group_info", _group_info, sign.group_info_bodies),
        ("welcome", _welcome, lambda world: [sign.opened_welcome(world)[1].tbs]),
        ("secrets", _secrets, lambda world: [sign.opened_welcome(world)[0].encode()]),
        ("key_package", _key_package, sign.key_package_bodies),
    ):
        yield _target(f"mls.inside.{name}", decode, seeds)


def _target(name: str, decode: Callable[[World, bytes], object], seeds: Callable[[World], list[bytes]]) -> Target:
    """The first byte of an input says which group it is for."""
    every = [bytes([at]) + seed for at, world in enumerate(worlds()) for seed in seeds(world)]
    return mls_target(name, lambda data: decode(worlds()[data[0] % len(worlds()) if data else 0], data[1:]), every)


def _text(world: World, data: bytes) -> object:
    """Sender data and plaintext, encrypted with what every member can derive."""
    message = sign.encrypted(world, data[:12], data[12:])
    processed = read(world.bob, message)
    assert isinstance(processed, ApplicationMessage), processed
    # Another generation and other padding are the sealer's choice; sender, text and context are the signer's.
    assert (processed.sender, processed.data) in sign.SAID
    assert (processed.authenticated_data, processed.epoch) == (b"", world.bob.epoch)
    return processed


def _proposal(world: World, data: bytes) -> object:
    message = sign.public_message(world, b"\2" + data)
    processed = read(world.bob, message)
    assert isinstance(processed, ProposalMessage), processed
    assert processed.sender == _ALICE
    assert encode_proposal(processed.proposal) == data
    before, after = world.bob.snapshot, processed.group.snapshot
    assert list(after.proposals) == [*before.proposals, processed.reference]
    assert after.epoch is before.epoch
    return processed


def _commit(world: World, data: bytes) -> object:
    """With the confirmation tag that carol would find right, if she finds one at all."""
    message, expected = sign.public_commit(world, data)
    processed = read(world.bob, message)
    assert isinstance(processed, StagedCommit), processed
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    _check_changes(world, body.content.content, processed.changes)
    if not processed.changes.removes_self:
        after = again(world.bob).process(message, NOW, PSKS)
        assert isinstance(after, StagedCommit)
        assert expected is not None
        group = after.apply(NOW)
        assert group.snapshot.epoch.confirmation_tag() == expected
        assert group.epoch == world.bob.epoch + 1
    return processed


def _check_changes(world: World, commit: Commit, changes: Changes) -> None:
    """What is told is what the commit has."""
    proposals = [_resolved(world, each) for each in commit.proposals]
    assert changes.committer.leaf_index == 0
    assert not changes.external
    added = [each.key_package.leaf_node.encoded for each in proposals if isinstance(each, Add)]
    assert [member.leaf_node.encoded for member in changes.added] == added
    removed = [each.removed for each in proposals if isinstance(each, Remove)]
    assert [member.leaf_index for member in changes.removed] == removed
    assert list(changes.psks) == [each.psk for each in proposals if isinstance(each, PreSharedKey)]
    wanted = [each.extensions for each in proposals if isinstance(each, GroupContextExtensions)]
    assert (changes.extensions or world.bob.extensions) == (wanted[0] if wanted else world.bob.extensions)
    own = [change.after.leaf_node for change in changes.updated if change.after.leaf_index == 0]
    assert own == ([] if commit.path is None else [commit.path.leaf_node])


def _resolved(world: World, proposal: Proposal | ProposalRef) -> Proposal:
    if isinstance(proposal, ProposalRef):
        return next(sent.proposal for sent in world.bob.proposals if sent.reference == proposal.reference)
    return proposal


def _group_info(world: World, data: bytes) -> object:
    info = sign.group_info(world, data)
    message = encode_message(WireFormat.GROUP_INFO, info.encode())
    eve = world.eve
    group, commit = join_by_external_commit(message, eve, Seeded(6), NOW)
    _check_context(group, info, 1)
    assert decode_message(commit).group_id == info.group_context.group_id  # type: ignore[union-attr] # a PublicMessage
    return group


def _welcome(world: World, data: bytes) -> object:
    """The group info of a Welcome, with the confirmation tag that fits whatever it says."""
    secrets, _ = sign.opened_welcome(world)
    info = sign.confirmed(world, secrets, data)
    group = Group.join(sign.welcome(world, secrets.encode(), secrets, info), world.dave, world.joiner)
    _check_context(group, info, 0)
    return group


def _secrets(world: World, data: bytes) -> object:
    """The secrets of a Welcome; the group info is encrypted and confirmed with them."""
    secrets = sign.read_secrets(data)
    info = sign.confirmed(world, secrets, sign.opened_welcome(world)[1].tbs)
    group = Group.join(sign.welcome(world, data, secrets, info), world.dave, world.joiner)
    _check_context(group, info, 0)
    return group


def _check_context(group: Group, info: GroupInfo, later: int) -> None:
    context = info.group_context
    assert (group.group_id, group.epoch) == (context.group_id, context.epoch + later)
    assert (group.suite.value, group.extensions) == (context.cipher_suite, context.extensions)
    assert later or group.snapshot.epoch.tree.root_hash() == context.tree_hash


def _key_package(world: World, data: bytes) -> object:
    package = sign.key_package(data, signer("device 1"))
    parameters = GroupParameters.of(world.suite, world.bob.group_id, world.bob.extensions)
    check_key_package(package, parameters, NOW, Rules())
    leaf = package.leaf_node
    assert (package.version, package.cipher_suite) == (1, world.suite.value)
    assert len(package.init_key) == len(leaf.encryption_key) == len(world.dave.init_private.public)
    assert package.init_key != leaf.encryption_key
    assert leaf.signature_key == signer("device 1").public
    assert leaf.lifetime is not None
    assert leaf.lifetime.not_before <= NOW + Rules().clock_skew_s
    assert leaf.lifetime.not_after >= NOW - Rules().clock_skew_s
    assert leaf.credential.type in leaf.capabilities.credentials
    assert world.suite.value in leaf.capabilities.cipher_suites
    assert {each.type for each in leaf.extensions} <= {1, 2, 3, 4, 5, *leaf.capabilities.extensions}
    return package
