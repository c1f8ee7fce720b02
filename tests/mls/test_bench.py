"""What `scripts/bench mls` measures is what it says: full trees are full, and their paths as long as the RFC says."""

import pytest
from scripts.support.mls.bench import full, grown, pair
from scripts.support.mls.full_tree import full_group
from scripts.support.mls.members import Seeded

from waypost.mls.base import tree_math
from waypost.mls.base.suites import SUITES, X25519_AES128, CipherSuite


@pytest.mark.parametrize("size", [2, 8, 32, 100])
def test_the_path_of_a_full_tree_is_as_long_as_the_tree_is_deep(size: int) -> None:
    depth = (size - 1).bit_length()
    figures = full(size)
    assert (figures["path"], figures["ciphertexts"]) == (depth, depth)


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_every_parent_of_a_full_tree_has_keys_and_no_unmerged_leaf(suite: CipherSuite) -> None:
    group, last = full_group(8, suite, Seeded())
    tree = group.snapshot.epoch.tree
    assert [len(tree.resolution(node)) for node in range(tree_math.node_width(8))] == [1] * 15
    assert group.epoch_authenticator == last.epoch_authenticator


def test_the_worst_case_has_a_ciphertext_for_everyone() -> None:
    few, many = grown(4, X25519_AES128), grown(24, X25519_AES128)
    sealed = 32 + 32 + 16 + 2
    assert many["commit_bytes"] > few["commit_bytes"] + 20 * sealed
    assert set(many) > {"add", "join", "commit", "process"}
    assert set(pair(X25519_AES128)) == {"encrypt", "decrypt", "overhead_bytes"}
