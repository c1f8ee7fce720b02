"""Three implementations, and a fourth interface, in one group: everyone adds, removes, commits and talks."""

import random
from collections.abc import Callable

import pytest
from tests.mls.interop.clients import Client, Ours, Refusal, Wanted
from tests.mls.interop.room import Room

from waypost.mls.steps.committing import PathChoice
from waypost.mls.steps.epoch import GroupStatus

Maker = Callable[[str, str], Client]
TRIO = ["ours", "ts-mls", "mls-rs"]


@pytest.mark.parametrize("shift", range(3), ids=["ours first", "ts-mls first", "mls-rs first"])
def test_three_implementations_in_one_group(client: Maker, shift: int) -> None:
    order = TRIO[shift:] + TRIO[:shift]
    first, second, third = order
    room = Room(first, client(first, "1"))
    room.add(first, **{second: client(second, "2")})
    room.add(second, **{third: client(third, "3")})
    ours = room.members["ours"]
    assert isinstance(ours, Ours)
    # See `refuses_tree`: so that ts-mls can join wherever the tree is without unmerged leaves.
    ours.path = PathChoice.WHEN_REQUIRED
    for number, by in enumerate(order):
        kind = order[(number + 1) % 3]
        room.settle()
        room.add(by, **{f"another {kind}": client(kind, f"another {kind}")})
        assert f"another {kind}" in room.members
    room.talk()
    for number, by in enumerate(order):
        room.remove(by, f"another {order[number - 1]}")
    assert list(room.members) == order


def test_a_removed_client_of_each_kind_reads_no_more(client: Maker) -> None:
    room = Room("ours", client("ours", "ours"))
    room.add("ours", **{kind: client(kind, kind) for kind in ("ts-mls", "mls-rs", "rine")}, us=client("ours", "us"))
    us = room.members.pop("us")
    sent = room.members["ts-mls"].commit(Wanted(remove=[us.identity]))
    room.everyone_hears("ts-mls", sent.message)
    assert us.hear(sent.message) is None
    assert isinstance(us, Ours)
    assert us.group.status is GroupStatus.REMOVED
    room.check()
    for by, kind in (("ours", "rine"), ("mls-rs", "ts-mls"), ("ours", "mls-rs")):
        gone = room.remove(by, kind)
        with pytest.raises(Refusal):
            gone.hear(room.members["ours"].encrypt(b"ours: without you"))
    assert set(room.members) == {"ours"}


@pytest.mark.parametrize("seed", range(2))
def test_a_random_schedule(client: Maker, seed: int) -> None:
    chance = random.Random(seed)
    kinds = ["ours", "ts-mls", "mls-rs", "rine"]
    keeper = client("ours", "ours 0")
    assert isinstance(keeper, Ours)
    room = Room("ours 0", keeper)
    room.add("ours 0", **{f"{kind} 0": client(kind, f"{kind} 0") for kind in kinds[1:]})
    for number in range(1, 25):
        keeper.path = chance.choice(list(PathChoice))
        by = chance.choice(sorted(room.members))
        others = sorted(room.members.keys() - {by, "ours 0"})
        what = chance.choice(["add", "add", "remove", "commit", "commit"])
        if what == "add" and len(others) < 8:
            names = [f"{kind} {number}" for kind in chance.sample(kinds, chance.randint(1, 2))]
            if any(name.startswith("ts-mls") for name in names):
                room.settle()
            room.add(by, **{name: client(name.partition(" ")[0], name) for name in names})
        elif what == "remove" and len(others) > 3:
            room.remove(by, chance.choice(others))
        elif not by.startswith("rine"):
            room.commit(by)
    room.talk()
