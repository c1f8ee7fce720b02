"""The directory of a lab: nobody else's files are touched, and nothing of its own is left."""

from __future__ import annotations

import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from waypost.errors import Code, LocalError
from waypost_lab.box import home as homes
from waypost_lab.box.home import Home
from waypost_lab.driver import Account


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "lab")
    homes.make(made, "# a lab\n")
    return made


def code_of(refused: AbstractContextManager[None]) -> Code:
    """With which code it cannot be entered."""
    with pytest.raises(LocalError) as caught:
        refused.__enter__()
    return caught.value.code


def test_it_is_its_owners_alone(home: Home) -> None:
    homes.save_users(home, [Account("alice@birdy.local", b"s" * 32, "127.0.0.1", 7711)])
    for path, mode in ((home.path, 0o700), (home.plan, 0o600), (home.users, 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_users_are_read_as_they_were_written(home: Home) -> None:
    accounts = [Account(f"{user}@birdy.local", user.encode() * 8, "127.0.0.1", 7711) for user in ("anna", "bert")]
    homes.save_users(home, accounts)
    assert homes.load_users(home) == accounts


def test_only_one_may_drive_the_users(home: Home) -> None:
    homes.save_users(home, [])
    with homes.using_users(home):
        assert code_of(homes.using_users(home)) is Code.PROFILE_IN_USE
    with homes.using_users(home):
        pass


def test_a_lab_is_not_made_twice(home: Home) -> None:
    with pytest.raises(LocalError) as caught:
        homes.make(home, "# another\n")
    assert caught.value.code is Code.LAB_EXISTS
    assert home.plan.read_text() == "# a lab\n"


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(LocalError, match="not empty, and no lab's"):
        homes.make(Home(tmp_path), "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_nothing_is_left(home: Home) -> None:
    homes.save_users(home, [])
    home.state("birdy.local").path.mkdir()
    home.log.touch()
    homes.remove(home)
    assert not home.path.exists()


def test_what_others_have_put_there_stays(home: Home) -> None:
    (home.path / "notes.txt").touch()
    homes.remove(home)
    assert [path.name for path in home.path.iterdir()] == ["notes.txt"]


def test_two_supervisors_do_not_share_it(home: Home) -> None:
    before = home.runs
    with homes.hold(home):
        assert (before, home.runs) == (False, True)
        assert code_of(homes.hold(home)) is Code.LAB_EXISTS


def test_a_lab_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    assert code_of(homes.hold(Home(tmp_path / "none"))) is Code.NO_LAB
