"""Joining by a Welcome (RFC 9420 §12.4.3.1), and what a joiner checks of any GroupInfo."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field

from waypost.mls.base import tree_math
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import DEFAULT_EXTENSIONS, GREASE, MLS10, ExtensionType, ResumptionPskUsage
from waypost.mls.base.suites import cipher_suite
from waypost.mls.keys.key_schedule import schedule, welcome_secret
from waypost.mls.objects.extensions import Extensions, find
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackageBundle
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.psk import PskId, Psks, ResumptionPskId, check_nonce, psk_secret
from waypost.mls.objects.welcome import Welcome
from waypost.mls.steps.epoch import Epoch, GroupState, MemberKeys, begin_epoch, first_state
from waypost.mls.tree.leaf_validation import GroupParameters
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import check_tree
from waypost.mls.tree.treekem import PrivateKeys, derive_upward


@dataclass(frozen=True)
class JoinOptions:
    """What a joiner knows beside the Welcome. `tree` is the encoded ratchet tree, if it came apart."""

    psks: Psks = field(default_factory=Psks)
    tree: bytes | None = None
    #: Groups that this client is in: a Welcome to one of the same id is refused.
    groups: Collection[bytes] = ()
    #: The group that a reinitialised or branched group comes from (§11.2, §11.3). No other group is joined then.
    predecessor: GroupState | None = None


def join_by_welcome(message: bytes, bundle: KeyPackageBundle, options: JoinOptions) -> GroupState:
    """The state of the new member. Raises MlsError if anything is not as it must be."""
    welcome = decode_message(message)
    if not isinstance(welcome, Welcome):
        raise MlsError(MlsFault.WRONG_WIRE_FORMAT)
    bundle.check()
    suite, secrets = bundle.suite, welcome.open_secrets(bundle)
    successor = _successor_psk(secrets.psks)
    psks = options.psks
    if options.predecessor is not None:
        psks = options.predecessor.psks(psks)
    secret = psk_secret(secrets.psks, psks)
    info = welcome.open_group_info(suite, welcome_secret(secrets.joiner_secret, secret))
    if info.group_context.cipher_suite != suite.value:
        raise MlsError(MlsFault.WELCOME_SUITE)
    leaf_index, tree = _check_group(info, options, bundle.key_package.leaf_node)
    private_keys: PrivateKeys = {2 * leaf_index: bundle.encryption_private}
    if secrets.path_secret is not None:
        nodes = _common_path(tree, leaf_index, info.signer)
        told = derive_upward(tree, suite, nodes, secrets.path_secret, MlsFault.PATH_SECRET_MISMATCH)
        private_keys.update(told.private_keys)
    _check_told(tree, leaf_index, private_keys)
    context = info.group_context
    begun = schedule(secrets.joiner_secret, secret, context.encoded)
    tag = begun.secrets.confirmation_tag(context.confirmed_transcript_hash)
    if not hmac.compare_digest(tag, info.confirmation_tag):
        raise MlsError(MlsFault.GROUP_INFO_CONFIRMATION)
    own = MemberKeys(leaf_index, private_keys, bundle.signature_key)
    epoch, secret_tree = begin_epoch(suite, context, tree, begun, own)
    if successor is not None:
        _check_successor(epoch, successor, options.predecessor)
    elif options.predecessor is not None:
        raise MlsError(MlsFault.NOT_A_SUCCESSOR)
    return first_state(epoch, secret_tree)


def check_group_info(info: GroupInfo, tree: RatchetTree, groups: Collection[bytes]) -> GroupParameters:
    """§12.4.3: signature, tree hash and the tree itself. Raises MlsError."""
    context = info.group_context
    signer = tree.leaf(info.signer)
    if signer is None:
        raise MlsError(MlsFault.GROUP_INFO_SIGNER, f"leaf {info.signer}")
    if not info.verify(signer.signature_key):
        raise MlsError(MlsFault.GROUP_INFO_SIGNATURE)
    if context.group_id in groups:
        raise MlsError(MlsFault.GROUP_EXISTS)
    if tree.root_hash() != context.tree_hash:
        raise MlsError(MlsFault.TREE_HASH_MISMATCH)
    return GroupParameters.of(cipher_suite(context.cipher_suite), context.group_id, context.extensions)


def tree_of(info: GroupInfo, given: bytes | None) -> RatchetTree:
    """The ratchet tree: from the GroupInfo, else the one that was given. Raises MlsError(NO_TREE)."""
    data = find(info.extensions, ExtensionType.RATCHET_TREE)
    if data is None:
        data = given
    if data is None:
        raise MlsError(MlsFault.NO_TREE)
    return RatchetTree.decode(data)


def check_own_support(own: LeafNode, extensions: Extensions) -> None:
    """§13.4: a joiner supports every extension of the group. Raises MlsError(EXTENSION_NOT_SUPPORTED)."""
    # §13.5: what one lists as GREASE one does not support.
    supported = DEFAULT_EXTENSIONS.union(own.capabilities.extensions).difference(GREASE)
    for extension in extensions:
        if extension.type not in supported:
            raise MlsError(MlsFault.EXTENSION_NOT_SUPPORTED, f"0x{extension.type:04x}")


def _check_group(info: GroupInfo, options: JoinOptions, own: LeafNode) -> tuple[int, RatchetTree]:
    tree = tree_of(info, options.tree)
    check_own_support(own, info.group_context.extensions)
    parameters = check_group_info(info, tree, options.groups)
    check_tree(tree, parameters)
    leaf_index = next((index for index, leaf in tree.members() if leaf.encoded == own.encoded), None)
    if leaf_index is None:
        raise MlsError(MlsFault.NOT_IN_TREE)
    return leaf_index, tree


def _common_path(tree: RatchetTree, leaf_index: int, signer: int) -> list[int]:
    """The nodes above both leaves that have keys, from the bottom up; the lowest one must have one."""
    if signer == leaf_index:
        raise MlsError(MlsFault.GROUP_INFO_SIGNER, "a path secret from oneself")
    ancestor = tree_math.common_ancestor(leaf_index, signer)
    if tree.node(ancestor) is None:
        raise MlsError(MlsFault.PATH_SECRET_MISMATCH, f"node {ancestor} is blank")
    upward = (ancestor, *tree_math.direct_path(ancestor, tree.leaf_count))
    return [node for node in upward if tree.node(node) is not None]


def _check_told(tree: RatchetTree, leaf_index: int, private_keys: PrivateKeys) -> None:
    """A joiner has the keys of all nodes above it that do not list it as unmerged: later paths are encrypted to them.

    Raises MlsError(PATH_SECRET_MISMATCH) now, instead of not being able to follow later.
    """
    for node in tree_math.direct_path(2 * leaf_index, tree.leaf_count):
        parent = tree.parent_node(node)
        if parent is not None and leaf_index not in parent.unmerged_leaves and node not in private_keys:
            raise MlsError(MlsFault.PATH_SECRET_MISMATCH, f"nothing has been told of node {node}")


def _successor_psk(psks: tuple[PskId, ...]) -> ResumptionPskId | None:
    """The one for reinit or branch, if the Welcome has it. Raises MlsError: PSK_NONCE_LENGTH, PSK_NOT_ALONE."""
    for psk in psks:
        check_nonce(psk)
    found = [
        psk for psk in psks if isinstance(psk, ResumptionPskId) and psk.usage is not ResumptionPskUsage.APPLICATION
    ]
    if len(found) > 1:
        raise MlsError(MlsFault.PSK_NOT_ALONE)
    return found[0] if found else None


def _check_successor(epoch: Epoch, psk: ResumptionPskId, predecessor: GroupState | None) -> None:
    """§12.4.3.1, last step. Members are the same to us if their credentials are."""
    if epoch.context.epoch != 1:
        raise MlsError(MlsFault.SUCCESSOR_EPOCH, f"epoch {epoch.context.epoch}")
    if predecessor is None or predecessor.epoch.context.group_id != psk.psk_group_id:
        raise MlsError(MlsFault.NO_PREDECESSOR)
    before = {leaf.credential for _, leaf in predecessor.epoch.tree.members()}
    after = {leaf.credential for _, leaf in epoch.tree.members()}
    if psk.usage is ResumptionPskUsage.BRANCH:
        if epoch.suite is not predecessor.epoch.suite:
            raise MlsError(MlsFault.BRANCH_MISMATCH)
        if not after <= before:
            raise MlsError(MlsFault.BRANCH_MEMBERS)
        return
    asked, context = predecessor.reinit, epoch.context
    if asked is None or psk.psk_epoch != predecessor.epoch.context.epoch:
        raise MlsError(MlsFault.REINIT_MISMATCH, "the group has not been reinitialised in that epoch")
    if asked.version != MLS10:
        raise MlsError(MlsFault.REINIT_MISMATCH, f"version {asked.version}")
    if (asked.group_id, asked.cipher_suite, asked.extensions) != (
        context.group_id,
        context.cipher_suite,
        context.extensions,
    ):
        raise MlsError(MlsFault.REINIT_MISMATCH)
    if not before <= after:
        raise MlsError(MlsFault.REINIT_MEMBERS)


def read_group_info(message: bytes) -> GroupInfo:
    """The GroupInfo of an MLSMessage. Raises MlsError(WRONG_WIRE_FORMAT) for another message."""
    info = decode_message(message)
    if not isinstance(info, GroupInfo):
        raise MlsError(MlsFault.WRONG_WIRE_FORMAT)
    return info
