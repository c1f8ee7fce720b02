from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from tests.mls.world import refused

from waypost.mls.base.bounds import MESSAGES_PER_EPOCH_MAX, SKIPPED_PER_EPOCH_MAX, SKIPPED_PER_RATCHET_MAX
from waypost.mls.base.errors import MlsFault
from waypost.mls.keys.secret_tree import MessageKey, Ratchet, RatchetKind, SecretTree

APPLICATION = RatchetKind.APPLICATION
FRESH = SecretTree.start(b"encryption secret", 8, 16)


def keys(count: int, leaf: int = 3) -> list[MessageKey]:
    tree, found = FRESH, []
    for _ in range(count):
        tree, _, key = tree.next_key(leaf, APPLICATION)
        found.append(key)
    return found


@given(st.permutations(range(12)))
def test_keys_come_in_any_order_and_once(order: list[int]) -> None:
    expected, tree = keys(12), FRESH
    for generation in order:
        tree, key = tree.take_key(3, APPLICATION, generation)
        assert key == expected[generation]
        refused(partial(tree.take_key, 3, APPLICATION, generation), MlsFault.GENERATION_CONSUMED)
    assert tree.skipped == 0
    assert tree.ratchets[3, 1].skipped == {}


def test_leaves_and_kinds_have_different_keys() -> None:
    found = {FRESH.next_key(leaf, kind)[2] for leaf in range(8) for kind in RatchetKind}
    assert len(found) == 16


def test_what_has_been_used_is_gone() -> None:
    assert FRESH.nodes == {7: b"encryption secret"}
    tree, _, _ = FRESH.next_key(3, APPLICATION)
    # Gone: root, left half, its right quarter, the leaf. Kept: what branches off, each once.
    assert sorted(tree.nodes) == [1, 4, 11]
    tree, _ = tree.take_key(2, APPLICATION, 5)
    assert sorted(tree.nodes) == [1, 11]
    assert b"encryption secret" not in tree.nodes.values()


def test_skipped_keys_are_bounded_for_one_sender() -> None:
    refused(lambda: FRESH.take_key(0, APPLICATION, SKIPPED_PER_RATCHET_MAX + 1), MlsFault.GENERATION_TOO_FAR)
    tree, _ = FRESH.take_key(0, APPLICATION, SKIPPED_PER_RATCHET_MAX)
    tree, _ = tree.take_key(0, APPLICATION, SKIPPED_PER_RATCHET_MAX + 11)
    assert len(tree.ratchets[0, 1].skipped) == tree.skipped == SKIPPED_PER_RATCHET_MAX
    # The oldest have made room.
    refused(lambda: tree.take_key(0, APPLICATION, 9), MlsFault.GENERATION_CONSUMED)
    tree.take_key(0, APPLICATION, 10)


def test_skipped_keys_are_bounded_for_all_senders_together() -> None:
    tree = FRESH
    for leaf in range(SKIPPED_PER_EPOCH_MAX // SKIPPED_PER_RATCHET_MAX):
        tree, _ = tree.take_key(leaf, APPLICATION, SKIPPED_PER_RATCHET_MAX)
    assert tree.skipped == SKIPPED_PER_EPOCH_MAX
    refused(lambda: tree.take_key(7, APPLICATION, 1), MlsFault.TOO_MANY_SKIPPED)
    tree, _ = tree.take_key(7, APPLICATION, 0)
    tree, _ = tree.take_key(0, APPLICATION, 0)
    tree.take_key(7, APPLICATION, 2)[0].take_key(7, APPLICATION, 1)


def test_an_epoch_uses_its_aead_so_often_and_no_more() -> None:
    tree = SecretTree(16, 8, FRESH.nodes, used=MESSAGES_PER_EPOCH_MAX - 1)
    tree, _, _ = tree.next_key(0, APPLICATION)
    refused(lambda: tree.next_key(0, APPLICATION), MlsFault.AEAD_LIMIT)
    refused(lambda: tree.take_key(1, APPLICATION, 0), MlsFault.AEAD_LIMIT)


def test_a_ratchet_ends_with_its_last_generation() -> None:
    tree = SecretTree(16, 8, {}, {(0, 1): Ratchet(b"secret", 2**32 - 1)})
    tree, generation, _ = tree.next_key(0, APPLICATION)
    assert generation == 2**32 - 1
    refused(lambda: tree.next_key(0, APPLICATION), MlsFault.GENERATION_EXHAUSTED)


def test_a_leaf_beyond_the_tree_has_no_keys() -> None:
    refused(lambda: FRESH.take_key(8, APPLICATION, 0), MlsFault.SENDER_BLANK)
