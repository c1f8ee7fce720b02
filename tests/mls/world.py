"""Groups whose members hear each other, and messages that break the rules, for the tests of MLS."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import pytest
from scripts.support.mls.members import NOW, Seeded, bundle, content, create

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import WireFormat
from waypost.mls.base.suites import X25519_AES128, CipherSuite
from waypost.mls.group import ApplicationMessage, Group, ProposalMessage, StagedCommit
from waypost.mls.objects.commit import Commit, ProposalOrRef
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.framing import Content, PublicMessage, decode_message
from waypost.mls.objects.leaf_node import LeafNodeContent
from waypost.mls.objects.proposals import Add
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.sending import Framing, protect, sign

PUBLIC = Framing(WireFormat.PUBLIC_MESSAGE)


class World:
    """A group whose members all hear everything at once. `groups` is by name; the first name creates it."""

    def __init__(
        self,
        *names: str,
        seed: int = 0,
        suite: CipherSuite = X25519_AES128,
        extensions: Extensions = (),
        rules: Rules | None = None,
    ) -> None:
        self.random = Seeded(seed)
        self.rules = rules or Rules()
        self.suite = suite
        first, *others = names
        self.groups = {first: create(first, self.random, suite, extensions, self.rules)}
        if others:
            self.add(first, *others)

    def add(self, by: str, *names: str) -> None:
        bundles = {name: bundle(name, self.random, self.suite) for name in names}
        adds = tuple(Add(each.key_package) for each in bundles.values())
        welcomes = self.commit(by, CommitOptions(adds))
        for name, each in bundles.items():
            self.groups[name] = Group.join(welcomes[0], each, rules=self.rules)
        self.check_agreement()

    def commit(self, by: str, options: CommitOptions | None = None, psks: Psks | None = None) -> list[bytes]:
        """A commit that everyone applies; the Welcomes."""
        psks = psks or Psks()
        self.groups[by], pending = self.groups[by].commit(self.random, NOW, options, psks)
        message, welcomes = pending.message, pending.welcomes
        self.groups[by] = self.groups[by].merge_pending(NOW)
        for name in [name for name in self.groups if name != by]:
            self.groups[name] = staged(self.groups[name], message, psks).apply(NOW)
        return [each.message for each in welcomes]

    def hear(self, message: bytes, *, but: str = "") -> None:
        """A proposal that everyone hears."""
        for name in [name for name in self.groups if name != but]:
            self.groups[name] = proposal(self.groups[name], message).group

    def say(self, by: str, data: bytes) -> None:
        """An application message that everyone reads."""
        self.groups[by], message = self.groups[by].encrypt(data, self.random)
        for name in [name for name in self.groups if name != by]:
            read = application(self.groups[name], message)
            assert (read.data, read.credential) == (data, content(by).credential)
            self.groups[name] = read.group

    def check_agreement(self) -> None:
        assert len({group.epoch_authenticator for group in self.groups.values()}) == 1


def staged(group: Group, message: bytes, psks: Psks | None = None) -> StagedCommit:
    processed = group.process(message, NOW, psks or Psks())
    assert isinstance(processed, StagedCommit)
    return processed


def proposal(group: Group, message: bytes) -> ProposalMessage:
    processed = group.process(message, NOW)
    assert isinstance(processed, ProposalMessage)
    return processed


def application(group: Group, message: bytes) -> ApplicationMessage:
    processed = group.process(message, NOW)
    assert isinstance(processed, ApplicationMessage)
    return processed


#: The tests that have seen each fault come out of the library, in this run.
SEEN: defaultdict[MlsFault, set[str]] = defaultdict(set)


def refused(call: Callable[[], object], fault: MlsFault) -> MlsError:
    """The call is refused with that fault and no other."""
    with pytest.raises(MlsError) as caught:
        call()
    assert caught.value.fault is fault, caught.value
    SEEN[fault].add(os.environ.get("PYTEST_CURRENT_TEST", ""))
    return caught.value


def greasy(group_content: LeafNodeContent, **lists: tuple[int, ...]) -> LeafNodeContent:
    """The contents with other lists in its capabilities."""
    return replace(group_content, capabilities=replace(group_content.capabilities, **lists))


def forge(group: Group, carried: Content, framing: Framing = PUBLIC, tag: bytes = b"") -> bytes:
    """A message that the member signs and protects as it should, whatever it carries. The group is not changed."""
    state = group.snapshot
    confirmation = tag if isinstance(carried, Commit) else None
    _, message, _ = protect(state, sign(state.epoch, carried, framing), confirmation, framing, Seeded(9))
    return message


def forged_commit(group: Group, *proposals: ProposalOrRef) -> bytes:
    """A commit without a path and with a wrong confirmation tag: what is wrong with its proposals is found first."""
    return forge(group, Commit(proposals, None))


def commit_in(message: bytes) -> Commit:
    """What a PublicMessage commits."""
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    return body.content.content
