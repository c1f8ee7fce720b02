"""A group as it is once everyone has committed: every parent node has keys and no leaf is unmerged.

To get there by real commits would take each of N members through N of them. Here one hand makes all the paths, with
the library's own `make_path`, and two members are given what they would have learnt.
"""

from __future__ import annotations

from scripts.support.mls.members import GROUP_ID, LIFETIME, Seeded, content, names, signer

from waypost.mls.base import tree_math
from waypost.mls.base.bounds import Rules
from waypost.mls.base.suites import CipherSuite
from waypost.mls.group import Group
from waypost.mls.keys.key_schedule import Schedule, from_epoch_secret
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.leaf_node import LeafNodePlace, sign_for_key_package
from waypost.mls.steps.epoch import MemberKeys, begin_epoch, first_state
from waypost.mls.tree.leaf_validation import GroupParameters
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import check_tree
from waypost.mls.tree.treekem import Committer, PrivateKeys, make_path


def full_group(count: int, suite: CipherSuite, random: Seeded) -> tuple[Group, Group]:
    """The first and the last member of a group of `count`, in an epoch that both begin with the same secrets."""
    tree, keys = _full_tree(count, suite, random)
    check_tree(tree, GroupParameters.of(suite, GROUP_ID, ()))
    context = GroupContext(suite.value, GROUP_ID, count, tree.root_hash(), random(32))
    secrets, encryption_secret = from_epoch_secret(random(32))
    begun = Schedule(b"", b"", encryption_secret, secrets)

    def member(leaf_index: int, name: str) -> Group:
        path = (2 * leaf_index, *tree_math.direct_path(2 * leaf_index, tree.leaf_count))
        own = MemberKeys(leaf_index, {node: keys[node] for node in path if node in keys}, signer(name))
        return Group(first_state(*begin_epoch(suite, context, tree, begun, own)), Rules())

    everyone = names(count)
    return member(0, everyone[0]), member(count - 1, everyone[-1])


def _full_tree(count: int, suite: CipherSuite, random: Seeded) -> tuple[RatchetTree, PrivateKeys]:
    """The tree, and all its private keys by node."""
    keys: PrivateKeys = {}
    tree: RatchetTree | None = None
    for leaf_index, name in enumerate(names(count)):
        key = suite.derive_key_pair(random(32))
        leaf = sign_for_key_package(content(name), key.public, LIFETIME, signer(name))
        if tree is None:
            tree = RatchetTree([leaf])
        else:
            tree.add(leaf)
        keys[2 * leaf_index] = key
    assert tree is not None
    # Of two neighbours one is enough: its path is the other's too.
    for leaf_index, name in list(enumerate(names(count)))[::2]:
        committer = Committer(LeafNodePlace(GROUP_ID, leaf_index), content(name), signer(name))
        keys |= make_path(tree, suite, committer, random).secrets.private_keys
    return tree, keys
