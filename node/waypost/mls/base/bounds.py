"""Bounds of this implementation, and the rules that an application chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

_DAY_S: Final = 86_400

#: A GroupInfo of a thousand members with X-Wing keys is 2.7 MB.
MESSAGE_MAX_BYTES: Final = 16 * 1024 * 1024
#: Elements of all vectors of one structure. The largest tree has 180,000; so many take 50 MB at the most.
ELEMENTS_MAX: Final = 2**18


class InputBound(NamedTuple):
    """How large an input may be that is read as one structure."""

    max_bytes: int
    max_elements: int


#: What others have sent.
FOREIGN: Final = InputBound(MESSAGE_MAX_BYTES, ELEMENTS_MAX)
#: One's own state. A group with a pending commit holds two trees, and must come back however large it was.
OWN: Final = InputBound(2**31, 2**24)
#: A blank node is one byte on the wire and much more in memory.
LEAVES_MAX: Final = 16_384
#: Proposals by reference that wait for a commit; each holds a key package at most.
PROPOSALS_MAX: Final = 1_024
#: All of these together; so many key packages with X-Wing keys are 2.7 MB.
PROPOSALS_MAX_BYTES: Final = 4 * 1024 * 1024
#: Of these, what new members propose themselves: anyone who has seen a group's id and epoch can send such.
NEW_MEMBER_PROPOSALS_MAX: Final = 64
NEW_MEMBER_PROPOSALS_MAX_BYTES: Final = 1024 * 1024
#: Proposals in one commit: adding so many clients means verifying twice as many signatures.
COMMIT_PROPOSALS_MAX: Final = 4_096
#: PSKs in one commit or Welcome; the RFC counts them in 16 bits.
PSKS_MAX: Final = COMMIT_PROPOSALS_MAX
#: Keys of one sender that are kept for messages that have not come, and how far ahead a message may be.
SKIPPED_PER_RATCHET_MAX: Final = 1_000
#: The same over all senders of an epoch: a state with all of them is half a megabyte.
SKIPPED_PER_EPOCH_MAX: Final = 5_000
#: What HKDF-SHA256 can give at once (RFC 5869 §2.3).
EXPORT_MAX_BYTES: Final = 255 * 32
#: Past epochs whose messages can still be read.
PAST_EPOCHS_MAX: Final = 3
#: Past epochs whose resumption PSK is kept (§8.6: the application specifies an upper limit).
RESUMPTION_PSKS_MAX: Final = 32
#: Messages sent and received in one epoch. Each has its own key, so this is far below what AES-GCM bears
#: (draft-irtf-cfrg-aead-limits: 2^24.5 full records under one key at an advantage of 2^-57).
MESSAGES_PER_EPOCH_MAX: Final = 2**24


@dataclass(frozen=True)
class Rules:
    """What RFC 9420 leaves to the application. Times are seconds."""

    #: §7.2: the longest `lifetime` of a leaf node that is accepted. Others' key packages are valid for a year.
    lifetime_max_s: int = 400 * _DAY_S
    #: Tolerance for clocks that differ, at both ends of a lifetime.
    clock_skew_s: int = 3_600
    #: How many past epochs keep their message keys, 0 to `PAST_EPOCHS_MAX`.
    past_epochs: int = PAST_EPOCHS_MAX
    #: How long they keep them.
    past_epoch_s: int = 7 * _DAY_S

    def __post_init__(self) -> None:
        if not 0 <= self.past_epochs <= PAST_EPOCHS_MAX:
            raise ValueError(f"past_epochs must be 0 to {PAST_EPOCHS_MAX}, not {self.past_epochs}")
