"""Mailboxes: where mail waits, one for each local device and for each peer, and how much waits there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from waypost.clock import WallMs
from waypost.storage.operations.base import Operation, Question


class MailboxKind(IntEnum):
    DEVICE = 0  #: inbox of a local device; owner: its key in hex
    PEER = 1  #: outbox towards a peer node; owner: its provider name


@dataclass(frozen=True, slots=True)
class Usage:
    """What waits in a mailbox."""

    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    id: int
    kind: MailboxKind
    owner: str
    usage: Usage
    oldest_ms: WallMs  #: earliest expiry of what waits; 0 when empty


@dataclass(frozen=True, slots=True)
class OpenMailbox(Operation[int]):
    """Answers with its id; made if there is none."""

    kind: MailboxKind
    owner: str


@dataclass(frozen=True, slots=True)
class TellUsage(Operation[None]):
    """Change nothing, and tell as a change, in its place among the others, what waits in every mailbox."""


@dataclass(frozen=True, slots=True)
class UsageTold:
    """What waits in every mailbox that is not empty, at this place among the changes."""

    usage: Mapping[int, Usage]


@dataclass(frozen=True, slots=True)
class AllMailboxes(Question[list[MailboxInfo]]):
    """By id."""
