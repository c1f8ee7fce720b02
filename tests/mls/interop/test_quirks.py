"""Where ts-mls 1.6.4 leaves RFC 9420. Each of these tests fails when a release changes it; then docs/mls-interop.md is
out of date, and what the other tests do to get round it can go.
"""

from secrets import token_bytes

import pytest
from tests.mls.interop.clients import Ours, Refusal, Wanted
from tests.mls.interop.mls_rs import MlsRs
from tests.mls.interop.room import Room
from tests.mls.interop.ts_mls import NodeProcess, TsMls, refuses_tree
from tests.mls.world import refused

from waypost.mls.base.errors import MlsFault
from waypost.mls.base.signing import SignatureKey
from waypost.mls.external import propose_externally
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.extensions import ExternalSender, RequiredCapabilities, external_senders_extension
from waypost.mls.objects.proposals import Remove


def test_it_refuses_trees_whose_nodes_have_different_unmerged_leaves(node: NodeProcess) -> None:
    """§12.4.3.1. mls-rs joins them, as we do."""
    alice, late, other = Ours("alice"), TsMls(node, "late"), MlsRs("other")
    room = Room("alice", alice)
    room.add("alice", **{name: Ours(name) for name in ("bob", "carol", "dave", "erin", "frank", "grace")})
    room.settle()
    # The path of alice's commit goes over the root, not over the node above erin, frank, grace and the first newcomer.
    sent = alice.commit(Wanted(add=[late.key_package(), other.key_package()]))
    room.everyone_hears("alice", sent.message)
    assert refuses_tree(alice.group.snapshot.epoch.tree)
    with pytest.raises(Refusal, match="must list leaf node in its unmerged_leaves"):
        late.join(sent.welcomes[0])
    other.join(sent.welcomes[0])
    room.members["other"] = other
    room.check()


def test_it_has_the_key_of_external_pub_without_its_length(node: NodeProcess) -> None:
    """§12.4.3.2: `struct { HPKEPublicKey external_pub; } ExternalPub`, so the data begins with a length."""
    alice, bob = Ours("alice"), TsMls(node, "bob")
    bob.strict = False
    room = Room("alice", alice)
    with pytest.raises(Refusal, match="Invalid public key"):
        bob.join_externally(alice.group_info())
    room.add("alice", bob=bob)
    carol = Ours("carol")
    refused(lambda: carol.join_externally(bob.group_info()), MlsFault.BAD_EXTENSION)


def test_it_changes_the_groups_extensions_without_a_path(node: NodeProcess) -> None:
    """§17.4: Path Required is Y for group_context_extensions."""
    room = Room("alice", Ours("alice"))
    bob = TsMls(node, "bob")
    room.add("alice", bob=bob)
    sent = bob.prepare(Wanted(required=[RequiredCapabilities()]))
    refused(lambda: room.members["alice"].hear(sent.message), MlsFault.PATH_REQUIRED)


def test_its_key_packages_are_valid_for_ever_unless_told_otherwise(node: NodeProcess) -> None:
    """§7.2: the application must define a maximum."""
    room = Room("alice", Ours("alice"))
    bob = TsMls(node, "bob", forever=True)
    refused(lambda: room.members["alice"].commit(Wanted(add=[bob.key_package()])), MlsFault.LIFETIME_TOO_LONG)


def test_it_reads_one_external_sender_where_there_is_a_vector(node: NodeProcess) -> None:
    """§12.1.8.1: `ExternalSender external_senders<V>`."""
    server = SignatureKey(token_bytes(32))
    sender = ExternalSender(server.public, BasicCredential(b"server"))
    alice, bob = Ours("alice", extensions=(external_senders_extension((sender,)),)), TsMls(node, "bob")
    Room("alice", alice).add("alice", bob=bob)
    message = propose_externally(alice.group.group_id, alice.epoch, 0, Remove(1), server)
    with pytest.raises(Refusal):
        bob.hear(message)
    assert alice.hear(message) is None
