import doctest

from waypost import mls


def test_the_example_is_true() -> None:
    failed, run = doctest.testmod(mls, optionflags=doctest.ELLIPSIS)
    assert run > 20
    assert failed == 0
