import pytest

from waypost.ids import Provider
from waypost.routing.consent import reachable

OWN, FRIEND, OTHER = Provider("own.example"), Provider("friend.example"), Provider("other.example")


@pytest.mark.parametrize("reach", ["", "all", "none", "some", "nonsense"])
@pytest.mark.parametrize("default", ["", "all", "none", "some"])
def test_ones_own_provider_always_may(reach: str, default: str) -> None:
    assert reachable(reach, (), default, (), OWN, OWN)


@pytest.mark.parametrize(
    ("reach", "friend", "other"),
    [("all", True, True), ("none", False, False), ("some", True, False), ("nonsense", False, False)],
)
@pytest.mark.parametrize("default", ["all", "none", "some"])
def test_an_account_has_the_last_word(reach: str, friend: bool, other: bool, default: str) -> None:
    assert reachable(reach, (FRIEND,), default, (OTHER,), FRIEND, OWN) is friend
    assert reachable(reach, (FRIEND,), default, (OTHER,), OTHER, OWN) is other


@pytest.mark.parametrize(
    ("default", "friend", "other"),
    [("all", True, True), ("none", False, False), ("some", False, True), ("", False, False)],
)
def test_an_account_that_says_nothing_follows_its_provider(default: str, friend: bool, other: bool) -> None:
    assert reachable("", (FRIEND,), default, (OTHER,), FRIEND, OWN) is friend
    assert reachable("", (FRIEND,), default, (OTHER,), OTHER, OWN) is other
