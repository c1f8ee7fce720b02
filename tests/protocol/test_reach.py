"""Whose mail an account takes: its own word, else its provider's default."""

import pytest

from waypost.ids import Provider
from waypost.protocol.directory.reach import reach_of

FRIEND, OTHER = Provider("friend.example"), Provider("other.example")


def named(mode: str, provider: Provider) -> tuple[Provider, ...]:
    return (provider,) if mode == "some" else ()


@pytest.mark.parametrize(
    ("reach", "friend", "other"), [("all", True, True), ("none", False, False), ("some", True, False)]
)
@pytest.mark.parametrize("default", ["all", "none", "some"])
def test_an_account_has_the_last_word(reach: str, friend: bool, other: bool, default: str) -> None:
    holds = reach_of(reach, named(reach, FRIEND)).over(reach_of(default, named(default, OTHER)))
    assert holds.admits(FRIEND) is friend
    assert holds.admits(OTHER) is other


@pytest.mark.parametrize(
    ("default", "friend", "other"),
    [("all", True, True), ("none", False, False), ("some", False, True), ("", False, False)],
)
def test_an_account_that_says_nothing_follows_its_provider(default: str, friend: bool, other: bool) -> None:
    holds = reach_of("").over(reach_of(default, named(default, OTHER)))
    assert holds.admits(FRIEND) is friend
    assert holds.admits(OTHER) is other


@pytest.mark.parametrize(("mode", "providers"), [("some", ()), ("all", (FRIEND,)), ("", (FRIEND,)), ("nonsense", ())])
def test_a_word_that_makes_no_sense_is_none(mode: str, providers: tuple[Provider, ...]) -> None:
    with pytest.raises(ValueError, match=r"providers|nonsense"):
        reach_of(mode, providers)
