"""Cipher suites other than 0x0001 with ts-mls, and where its X-Wing differs from ours."""

from hashlib import shake_256
from secrets import token_bytes

import pytest
from tests.mls.interop.clients import Ours, Wanted
from tests.mls.interop.room import Room
from tests.mls.interop.ts_mls import NodeProcess, TsMls

from waypost.crypto.kem import derive_seed
from waypost.mls.base.registry import ResumptionPskUsage
from waypost.mls.base.suites import X25519_AES128, X25519_CHACHA20, XWING_AES128, CipherSuite

#: MLS_256_XWING_AES256GCM_SHA512_Ed25519, a number of ts-mls.
TS_MLS_XWING = 83


@pytest.mark.parametrize("suite", [X25519_CHACHA20, XWING_AES128], ids=repr)
def test_other_suites(node: NodeProcess, suite: CipherSuite) -> None:
    """X-Wing: the partner's ML-KEM, X25519, combiner, HPKE and MLS; the derivation of key pairs is the draft's."""
    room = Room("ours", Ours("alice", suite))
    room.add("ours", partner=TsMls(node, "bob", suite.value))
    room.add("partner", third=Ours("carol", suite))
    for name in ("partner", "third", "ours"):
        room.commit(name)
    joined = TsMls(node, "dave", suite.value)
    ours = room.members["ours"]
    assert isinstance(ours, Ours)
    room.everyone_hears("", joined.join_externally(ours.group_info()))
    room.members["joined"] = joined
    late = Ours("erin", suite)
    room.check()
    room.everyone_hears("", late.join_externally(joined.group_info()))
    room.members["late"] = late
    room.check()
    room.remove("partner", "third")
    room.talk()


def test_the_partners_x_wing_is_ours_but_for_derive_key_pair(node: NodeProcess) -> None:
    """So suite 83 cannot be shared, even if we had AES-256 and SHA-512: both sides of a path derive its key pairs."""
    ikm = token_bytes(32)
    theirs = node.ask("derive_key_pair", suite=TS_MLS_XWING, ikm=ikm.hex())
    assert bytes.fromhex(theirs["private"]) == shake_256(ikm).digest(32) != derive_seed(ikm)
    # The same seed is the same key.
    key = XWING_AES128.kem.private_key(bytes.fromhex(theirs["private"]))
    assert key.public.hex() == theirs["public"]
    # With the draft's derivation, in the suite that the test above uses.
    drafts = node.ask("derive_key_pair", suite=XWING_AES128.value, ikm=ikm.hex())
    ours = XWING_AES128.derive_key_pair(ikm)
    assert (ours.data.hex(), ours.public.hex()) == (drafts["private"], drafts["public"])


def test_hpke_over_x_wing_both_ways(node: NodeProcess) -> None:
    label, context = b"a label", b"a context"
    info = b"\x0fMLS 1.0 " + label[:0] + label + b"\x09" + context
    key = XWING_AES128.derive_key_pair(token_bytes(32))
    number = XWING_AES128.value
    sealed = node.ask("seal", suite=number, key=key.public.hex(), info=info.hex(), data=b"text".hex())
    enc, ciphertext = bytes.fromhex(sealed["enc"]), bytes.fromhex(sealed["ciphertext"])
    assert XWING_AES128.decrypt_with_label(key, label, context, (enc, ciphertext)) == b"text"
    enc, ciphertext = XWING_AES128.encrypt_with_label(key.public, label, context, b"text")
    opened = node.ask(
        "open", suite=number, key=key.data.hex(), info=info.hex(), enc=enc.hex(), ciphertext=ciphertext.hex()
    )
    assert bytes.fromhex(opened) == b"text"


@pytest.mark.parametrize("usage", [ResumptionPskUsage.REINIT, ResumptionPskUsage.BRANCH], ids=lambda usage: usage.name)
@pytest.mark.parametrize("maker", ["ours", "partner"])
def test_groups_that_come_from_groups(node: NodeProcess, usage: ResumptionPskUsage, maker: str) -> None:
    """§11.2: reinitialised with another suite. §11.3: branched."""
    alice, bob = Ours("alice"), TsMls(node, "bob")
    room = Room("ours", alice)
    room.add("ours", partner=bob)
    suite, group_id = X25519_AES128, token_bytes(16)
    if usage is ResumptionPskUsage.REINIT:
        suite = X25519_CHACHA20
        sent = room.members[maker].commit(Wanted(reinit=[(group_id, suite.value)]))
        room.everyone_hears(maker, sent.message)
    new_alice, new_bob = Ours("alice", suite), TsMls(node, "bob", suite.value)
    if maker == "ours":
        welcome = new_alice.succeed(alice, [new_bob.key_package()], group_id, usage)
        new_bob.join_successor(bob, welcome, usage)
    else:
        made = new_bob.succeed(bob, [new_alice.key_package()], group_id, usage)
        new_alice.join_successor(alice, made.welcome, made.tree)
    room.members = {"ours": new_alice, "partner": new_bob}
    room.check()
    room.commit("partner")
    assert new_alice.group.group_id == group_id
