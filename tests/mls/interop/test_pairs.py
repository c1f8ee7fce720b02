"""Ours and each of the others, in twos: joins, commits and messages both ways, equal secrets."""

from collections.abc import Callable

import pytest
from tests.mls.interop.clients import Client
from tests.mls.interop.room import Room

Maker = Callable[[str, str], Client]

PARTNERS = ["ts-mls", "ts-mls, public", "mls-rs", "rine"]
OURS = ["ours", "ours, public"]


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("partner", PARTNERS)
def test_the_partner_joins_our_group(client: Maker, ours: str, partner: str) -> None:
    room = Room("ours", client(ours, "alice"))
    room.add("ours", partner=client(partner, "bob"))
    room.commit("ours")
    if partner != "rine":
        room.commit("partner")
        room.commit("ours")


@pytest.mark.parametrize("partner", PARTNERS)
def test_we_join_the_partners_group(client: Maker, partner: str) -> None:
    room = Room("partner", client(partner, "bob"))
    room.add("partner", ours=client("ours", "alice"))
    if partner != "rine":
        room.commit("partner")
    room.commit("ours")


@pytest.mark.parametrize("partner", PARTNERS)
def test_each_side_adds_and_removes(client: Maker, partner: str) -> None:
    room = Room("ours", client("ours", "alice"))
    room.add("ours", partner=client(partner, "bob"))
    room.add("partner", third=client("ours", "carol"))
    room.add("ours", fourth=client(partner, "dave"))
    room.talk()
    room.remove("partner", "third")
    room.remove("ours", "fourth")
    room.talk()
    assert list(room.members) == ["ours", "partner"]


@pytest.mark.parametrize("partner", PARTNERS)
def test_messages_come_out_of_order(client: Maker, partner: str) -> None:
    room = Room("ours", client("ours", "alice"))
    room.add("ours", partner=client(partner, "bob"))
    for by, to in (("ours", "partner"), ("partner", "ours")):
        speaker, listener = room.members[by], room.members[to]
        texts = [b"%d" % number for number in range(5)]
        messages = [speaker.encrypt(text) for text in texts]
        for index in (3, 0, 4, 1, 2):
            assert listener.hear(messages[index]) == texts[index]


@pytest.mark.parametrize("partner", PARTNERS)
def test_messages_come_after_the_commit_that_ended_their_epoch(client: Maker, partner: str) -> None:
    room = Room("ours", client("ours", "alice"))
    room.add("ours", partner=client(partner, "bob"))
    ours, other = room.members.values()
    late = ours.encrypt(b"late, from us"), other.encrypt(b"late, from the partner")
    room.commit("ours")
    assert other.hear(late[0]) == b"late, from us"
    assert ours.hear(late[1]) == b"late, from the partner"
    room.talk()
