"""What lies between the clients: a hub that orders commits, and a record of all that was ever encrypted."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto

from cryptography.exceptions import InvalidTag

from waypost.mls.keys.protection import sender_data_key
from waypost.mls.keys.secret_tree import RatchetKind
from waypost.mls.objects.framing import PrivateMessage, PublicMessage, decode_message
from waypost.mls.steps.epoch import Epoch


class Violation(AssertionError):
    """Something happened that must not happen in any schedule."""


class Kind(Enum):
    TEXT = auto()
    PROPOSAL = auto()
    WELCOME = auto()


@dataclass(frozen=True)
class Letter:
    """A message and what is known of it. Copies of one letter are equal."""

    kind: Kind
    sender: str
    message: bytes
    #: In which it was sent; None for a Welcome and for what comes from outside.
    epoch: Epoch | None = field(default=None, repr=False)
    #: Who is in the sender's tree.
    audience: frozenset[str] = frozenset()
    data: bytes = b""


class Hub:
    """Takes one commit for each epoch: the first that names the epoch that has come. Proposals can be fetched here."""

    def __init__(self) -> None:
        self.epoch = 0
        self.commits: dict[int, bytes] = {}
        self.proposals: dict[int, list[Letter]] = defaultdict(list)

    def submit(self, commit: bytes) -> bool:
        """Compare and set. True also for a commit that has been accepted before."""
        body = decode_message(commit)
        assert isinstance(body, PublicMessage | PrivateMessage)
        epoch = body.epoch
        if epoch == self.epoch:
            self.commits[epoch] = commit
            self.epoch += 1
        return self.commits.get(epoch) == commit

    def post(self, letter: Letter, epoch: int) -> None:
        """Keep a proposal for those who will need it to follow."""
        if letter not in self.proposals[epoch]:
            self.proposals[epoch].append(letter)


class Wire:
    """Holds each message that leaves a client against all others: no generation of a ratchet may carry two."""

    def __init__(self) -> None:
        self._sent: dict[tuple[bytes, int, RatchetKind, int], bytes] = {}

    def record(self, epoch: Epoch, message: bytes) -> None:
        """Raises Violation."""
        body = decode_message(message)
        if not isinstance(body, PrivateMessage):
            return
        secret, head = epoch.keys.sender_data_secret, body.encode()
        key, nonce = sender_data_key(epoch.suite, secret, body.ciphertext)
        end = len(head) - len(_tail(body))
        try:
            data = epoch.suite.aead(key).decrypt(nonce, body.encrypted_sender_data, head[:end])
        except InvalidTag:
            raise Violation("a message is sent in another epoch than it is for") from None
        leaf_index, generation = struct.unpack(">II", data[:8])
        place = (secret, leaf_index, RatchetKind.of(body.content_type), generation)
        if self._sent.setdefault(place, message) != message:
            raise Violation(f"leaf {leaf_index} uses generation {generation} twice")

    def __len__(self) -> int:
        return len(self._sent)


def _tail(body: PrivateMessage) -> bytes:
    """What follows group id, epoch and content type in the encoding."""
    return PrivateMessage(
        b"", 0, body.content_type, body.authenticated_data, body.encrypted_sender_data, body.ciphertext
    ).encode()[len(b"\0" * 10) :]
