"""What only some of the partners' interfaces offer: proposals, races, external commits, PSKs."""

from collections.abc import Callable
from typing import cast

import pytest
from tests.mls.interop.clients import Client, Ours, Refusal, Staging, Wanted
from tests.mls.interop.room import Room

from waypost.mls.base.errors import MlsError
from waypost.mls.base.registry import CredentialType
from waypost.mls.objects.extensions import RequiredCapabilities

Maker = Callable[[str, str], Client]
STAGING = ["ts-mls", "ts-mls, public", "mls-rs"]


def pair(client: Maker, partner: str) -> tuple[Room, Ours, Staging]:
    """A group of ours with the partner and a third, so that there is a path to encrypt."""
    ours, other = client("ours", "alice"), client(partner, "bob")
    assert isinstance(ours, Ours)
    room = Room("ours", ours)
    room.add("ours", partner=other, third=client("ours", "carol"))
    return room, ours, cast(Staging, other)


@pytest.mark.parametrize("partner", STAGING)
def test_the_partner_commits_our_proposals(client: Maker, partner: str) -> None:
    room, ours, _ = pair(client, partner)
    newcomer = client("ours", "dave")
    room.talk()
    for message in (ours.propose_update(), ours.propose(Wanted(add=[newcomer.key_package()]))):
        room.everyone_hears("ours", message)
    sent = room.members["partner"].commit()
    room.everyone_hears("partner", sent.message)
    newcomer.join(sent.welcomes[0])
    room.members["newcomer"] = newcomer
    room.check()
    room.everyone_hears("ours", ours.propose(Wanted(remove=[b"carol"])))
    del room.members["third"]
    room.commit("partner")
    assert ours.members().keys() == {b"alice", b"bob", b"dave"}


@pytest.mark.parametrize("partner", STAGING)
def test_we_commit_the_partners_proposals(client: Maker, partner: str) -> None:
    room, ours, other = pair(client, partner)
    newcomer = client("ours", "dave")
    room.talk()
    for wanted in (Wanted(add=[newcomer.key_package()]), Wanted(remove=[b"carol"])):
        room.everyone_hears("partner", other.propose(wanted))
    del room.members["third"]
    sent = ours.commit()
    room.everyone_hears("ours", sent.message)
    newcomer.join(sent.welcomes[0])
    room.members["newcomer"] = newcomer
    room.check()
    assert ours.members().keys() == {b"alice", b"bob", b"dave"}


@pytest.mark.parametrize("partner", STAGING)
@pytest.mark.parametrize("winner", ["ours", "partner"])
def test_two_commits_race(client: Maker, partner: str, winner: str) -> None:
    room, ours, other = pair(client, partner)
    sent = {"ours": ours.prepare(), "partner": other.prepare()}
    (ours if winner == "ours" else other).merge()
    room.everyone_hears(winner, sent[winner].message)
    assert ours.group.pending is None
    room.check()
    room.commit("ours")
    room.commit("partner")


@pytest.mark.parametrize("partner", ["ts-mls", "rine"])
def test_the_partner_joins_by_an_external_commit(client: Maker, partner: str) -> None:
    room = Room("ours", client("ours", "alice"))
    room.add("ours", third=client("ours", "carol"))
    other = cast(Staging, client(partner, "bob"))
    message = other.join_externally(cast(Staging, room.members["ours"]).group_info())
    room.everyone_hears("", message)
    room.members["partner"] = other
    room.check()
    room.commit("ours")


@pytest.mark.parametrize("partner", ["ts-mls", "rine"])
def test_we_join_by_an_external_commit(client: Maker, partner: str) -> None:
    room = Room("partner", client(partner, "bob"))
    room.add("partner", third=client("ours", "carol"))
    ours = client("ours", "alice")
    assert isinstance(ours, Ours)
    room.everyone_hears("", ours.join_externally(cast(Staging, room.members["partner"]).group_info()))
    room.members["ours"] = ours
    room.check()
    room.commit("ours")
    room.commit("third")


def test_clients_that_lost_their_state_come_back(client: Maker) -> None:
    room, ours, other = pair(client, "ts-mls")
    for name, helper in (("partner", ours), ("ours", other)):
        lost = cast(Staging, room.members[name])
        room.everyone_hears(name, lost.join_externally(helper.group_info(), resync=lost))
        room.check()
    assert len(ours.group.members()) == 3


def test_psks_are_injected_by_both(client: Maker) -> None:
    room, ours, other = pair(client, "ts-mls")
    newcomer, third = client("ours", "dave"), room.members["third"]
    everyone = (ours, other, cast(Staging, third), cast(Staging, newcomer))
    for each in everyone:
        for psk_id in (b"first", b"second"):
            each.give_psk(psk_id, b"the secret of " + psk_id)
    room.commit("ours", Wanted(psks=[b"first", b"second"]))
    room.commit("partner", Wanted(psks=[b"second"]))
    sent = other.commit(Wanted(add=[newcomer.key_package()], psks=[b"first"]))
    room.everyone_hears("partner", sent.message)
    newcomer.join(sent.welcomes[0])
    room.members["newcomer"] = newcomer
    room.check()
    newcomers = client("ts-mls", "erin")
    cast(Staging, newcomers).give_psk(b"second", b"the secret of second")
    sent = ours.commit(Wanted(add=[newcomers.key_package()], psks=[b"second"]))
    room.everyone_hears("ours", sent.message)
    newcomers.join(sent.welcomes[0])
    room.members["erin"] = newcomers
    room.check()


@pytest.mark.parametrize("partner", ["ts-mls", "mls-rs", "rine"])
def test_partners_follow_new_group_extensions(client: Maker, partner: str) -> None:
    room, _, _ = pair(client, partner)
    required = RequiredCapabilities(credentials=(CredentialType.BASIC,))
    room.commit("ours", Wanted(required=[required]))
    if partner != "rine":
        room.commit("partner")
    room.add("partner", newcomer=client("ours", "dave"))


@pytest.mark.parametrize("partner", ["ts-mls", "ts-mls, public", "mls-rs", "rine"])
def test_nobody_takes_what_has_been_tampered_with_or_comes_twice(client: Maker, partner: str) -> None:
    room = Room("ours", client("ours", "alice"))
    room.add("ours", partner=client(partner, "bob"))
    ours, other = room.members.values()
    for speaker, listener, error in ((ours, other, Refusal), (other, ours, MlsError)):
        message = speaker.encrypt(b"as it was said")
        for position in (-1, -70, len(message) // 2):
            forged = bytearray(message)
            forged[position] ^= 1
            with pytest.raises(error):
                listener.hear(bytes(forged))
        if listener is ours or partner.startswith("ts-mls"):
            assert listener.hear(message) == b"as it was said"
        # mls-rs has spent the key on the forgery, so that the true message is lost.
        with pytest.raises(error):
            listener.hear(message)
    room.check()
