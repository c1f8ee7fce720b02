"""Mailboxes: where mail waits, one for each local device and for each peer, and how much waits there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from msgspec import Struct

from waypost.clock import WallMs
from waypost.storage.operations.base import Operation, Question


class MailboxKind(IntEnum):
    DEVICE = 0  #: inbox of a local device; owner: its key in hex
    PEER = 1  #: outbox towards a peer node; owner: its provider name


class Usage(Struct, frozen=True):
    """What waits in a mailbox."""

    items: int
    bytes: int


class MailboxInfo(Struct, frozen=True):
    id: int
    kind: MailboxKind
    owner: str
    usage: Usage
    oldest_ms: WallMs  #: earliest expiry of what waits; 0 when empty


class OpenMailbox(Struct, Operation[int], frozen=True):
    """Answers with its id; made if there is none."""

    kind: MailboxKind
    owner: str


class TellUsage(Struct, Operation[None], frozen=True):
    """Change nothing, and tell as a change, in its place among the others, what waits in every mailbox."""


class UsageTold(Struct, frozen=True):
    """What waits in every mailbox that is not empty, at this place among the changes."""

    usage: Mapping[int, Usage]


class AllMailboxes(Struct, Question[list[MailboxInfo]], frozen=True):
    """By id."""
