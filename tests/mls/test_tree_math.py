from hypothesis import given
from hypothesis import strategies as st

from waypost.mls.base import tree_math

LEAVES = st.integers(0, 6).map(lambda exponent: 2**exponent)


@given(LEAVES)
def test_every_inner_node_is_the_parent_of_its_children(leaves: int) -> None:
    for node in range(1, tree_math.node_width(leaves), 2):
        left, right = tree_math.left(node), tree_math.right(node)
        assert left < node < right
        assert tree_math.parent(left) == tree_math.parent(right) == node
        assert tree_math.sibling(left) == right
        assert tree_math.sibling(right) == left
        assert tree_math.level(left) == tree_math.level(right) == tree_math.level(node) - 1


@given(LEAVES, st.data())
def test_the_common_ancestor_is_the_lowest_node_on_both_paths(leaves: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, leaves - 1)), data.draw(st.integers(0, leaves - 1))
    if a == b:
        return
    on_both = [node for node in tree_math.direct_path(2 * a, leaves) if node in tree_math.direct_path(2 * b, leaves)]
    assert tree_math.common_ancestor(a, b) == on_both[0]


@given(LEAVES, st.data())
def test_below_means_on_the_path(leaves: int, data: st.DataObject) -> None:
    width = tree_math.node_width(leaves)
    node, ancestor = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, width - 1))
    assert tree_math.is_below(node, ancestor) == (node == ancestor or ancestor in tree_math.direct_path(node, leaves))
    below = [leaf for leaf in range(leaves) if tree_math.is_below(2 * leaf, ancestor)]
    assert list(tree_math.leaves_below(ancestor)) == below


def test_the_smallest_full_tree() -> None:
    assert [tree_math.full_leaves(nodes) for nodes in (0, 1, 2, 3, 4, 7, 8, 15, 16)] == [0, 1, 2, 2, 4, 4, 8, 8, 16]
