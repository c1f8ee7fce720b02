"""secret-tree, tree-operations, tree-validation and treekem."""

from __future__ import annotations

import secrets

from scripts.support.mls_vectors.check import Case, same

from waypost.mls.base.codec import decode
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import SenderType
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import CipherSuite, cipher_suite
from waypost.mls.keys.protection import sender_data_key
from waypost.mls.keys.secret_tree import RatchetKind, SecretTree
from waypost.mls.objects.commit import UpdatePath
from waypost.mls.objects.framing import Sender
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.leaf_node import LeafNodePlace
from waypost.mls.objects.proposals import read_proposal
from waypost.mls.steps.applying import apply_list
from waypost.mls.steps.proposal_list import SentProposal
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import check_tree
from waypost.mls.tree.treekem import (
    Committer,
    MergedPath,
    PathRecipient,
    PathSecrets,
    PrivateKeys,
    decrypt_path,
    derive_upward,
    encrypt_path,
    make_path,
    merge_path,
)


def secret_tree_case(case: Case) -> None:
    suite, given = cipher_suite(case["cipher_suite"]), case["sender_data"]
    found = sender_data_key(suite, given["sender_data_secret"], given["ciphertext"])
    same("sender data key", found, (given["key"], given["nonce"]))
    tree = SecretTree.start(case["encryption_secret"], len(case["leaves"]), suite.key_bytes)
    for index, generations in enumerate(case["leaves"]):
        for given in generations:
            for kind in RatchetKind:
                name = kind.name.lower()
                tree, key = tree.take_key(index, kind, given["generation"])
                same(f"{name} key", key.key, given[f"{name}_key"])
                same(f"{name} nonce", key.nonce, given[f"{name}_nonce"])


def tree_operations_case(case: Case) -> None:
    suite = cipher_suite(case["cipher_suite"])
    tree = RatchetTree.decode(case["tree_before"])
    same("tree_hash_before", tree.root_hash(), case["tree_hash_before"])
    proposal = decode(case["proposal"], read_proposal)
    sent = SentProposal(proposal, Sender(SenderType.MEMBER, case["proposal_sender"]))
    after = apply_list([sent], tree, GroupParameters.of(suite, b"", ())).tree
    same("tree_after", after.encode(), case["tree_after"])
    same("tree_hash_after", after.root_hash(), case["tree_hash_after"])
    # What was computed step by step is what a fresh tree gives.
    same("tree_hash_after, afresh", RatchetTree.decode(after.encode()).root_hash(), after.root_hash())


def tree_validation_case(case: Case) -> None:
    suite = cipher_suite(case["cipher_suite"])
    tree = RatchetTree.decode(case["tree"])
    same("tree, encoded again", tree.encode(), case["tree"])
    for node, resolution in enumerate(case["resolutions"]):
        same(f"resolution of {node}", list(tree.resolution(node)), resolution)
    for node, tree_hash in enumerate(case["tree_hashes"]):
        same(f"tree hash of {node}", tree.tree_hash(node), tree_hash)
    check_tree(tree, GroupParameters.of(suite, case["group_id"], ()))


class _Group:
    """The tree of a treekem case, and every member's private keys."""

    def __init__(self, case: Case) -> None:
        self.suite = cipher_suite(case["cipher_suite"])
        self.group_id, self.epoch = case["group_id"], case["epoch"]
        self.confirmed = case["confirmed_transcript_hash"]
        self.tree = RatchetTree.decode(case["ratchet_tree"])
        self.private = {each["index"]: self._private_keys(each) for each in case["leaves_private"]}
        self.signers = {each["index"]: SignatureKey(each["signature_priv"]) for each in case["leaves_private"]}

    def _private_keys(self, given: Case) -> PrivateKeys:
        leaf = 2 * given["index"]
        keys: PrivateKeys = {leaf: self.suite.kem.private_key(given["encryption_priv"])}
        found = self.tree.node(leaf)
        same("leaf key", found and found.encryption_key, keys[leaf].public)
        for each in given["path_secrets"]:
            secret = each["path_secret"]
            told = derive_upward(self.tree, self.suite, [each["node"]], secret, MlsFault.PATH_SECRET_MISMATCH)
            keys.update(told.private_keys)
        return keys

    def context(self, tree: RatchetTree) -> bytes:
        return GroupContext(self.suite.value, self.group_id, self.epoch, tree.root_hash(), self.confirmed).encoded

    def receive(self, sender: int, path: UpdatePath) -> tuple[RatchetTree, dict[int, tuple[bytes, PathSecrets]]]:
        """The tree after the path, and what each other member finds in it."""
        tree = self.tree.copy()
        filtered = merge_path(tree, sender, path)
        parameters = GroupParameters.of(self.suite, self.group_id, ())
        check_leaf(path.leaf_node, sender, parameters)
        check_tree(tree, parameters)
        merged = MergedPath(tree, path, filtered, self.context(tree))
        found = {}
        for index, keys in self.private.items():
            if index != sender:
                found[index] = decrypt_path(merged, self.suite, PathRecipient(index, keys))
        return tree, found


def treekem_case(case: Case) -> None:
    group = _Group(case)
    for given in case["update_paths"]:
        sender = given["sender"]
        path = decode(given["update_path"], UpdatePath.read)
        tree, found = group.receive(sender, path)
        same("tree_hash_after", tree.root_hash(), given["tree_hash_after"])
        for index, (secret, after) in found.items():
            same(f"path secret of {index}", secret, given["path_secrets"][index])
            same(f"commit secret of {index}", after.commit_secret, given["commit_secret"])
        _own_path(group, group.suite, sender)


def _own_path(group: _Group, suite: CipherSuite, sender: int) -> None:
    tree = group.tree.copy()
    content = tree.member(sender).content
    committer = Committer(LeafNodePlace(group.group_id, sender), content, group.signers[sender])
    made = make_path(tree, suite, committer, secrets.token_bytes)
    path = encrypt_path(tree, suite, made, group.context(tree), ())
    after, found = group.receive(sender, decode(path.encode(), UpdatePath.read))
    same("tree hash of an own path", after.root_hash(), tree.root_hash())
    for index, (_, told) in found.items():
        same(f"commit secret of {index} from an own path", told.commit_secret, made.secrets.commit_secret)
