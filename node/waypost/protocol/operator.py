"""What the command line says to a running node, over the Unix socket in its state directory.

Frames as on a link; each request is one frame `[method, …]`, each answer one frame `[code, text, json]`. The socket is
its owner's alone, so there is no further proof.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from waypost.limits import FRAME_MAX_BYTES
from waypost.protocol.frames.fields import U16, Name, Text

Json = Annotated[str, Meta(max_length=FRAME_MAX_BYTES)]


class _Request(Struct, frozen=True, array_like=True, gc=False):
    """Base of all; holds the encoding options in one place."""


class GetStatus(_Request, frozen=True, tag=1):
    """The node, its links, queues and rates."""


class AddUser(_Request, frozen=True, tag=2):
    """Answer: `{"invite": …}`. `again`: a further invite for a user who exists."""

    user: Name
    again: bool = False


class ListUsers(_Request, frozen=True, tag=3):
    pass


class RemoveUser(_Request, frozen=True, tag=4):
    user: Name


class SetReach(_Request, frozen=True, tag=5):
    user: Name
    reach: Annotated[str, Meta(max_length=8)]
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


class ListPeers(_Request, frozen=True, tag=6):
    pass


class SetPeer(_Request, frozen=True, tag=7):
    """`action`: allow, block, clear, forget, or pin (with a key or a fingerprint)."""

    provider: Name
    action: Annotated[str, Meta(max_length=8)]
    key: Text = ""


class ListQueue(_Request, frozen=True, tag=8):
    pass


class ActOnQueue(_Request, frozen=True, tag=9):
    """`action`: retry (try now) or drop (bounce all that waits)."""

    provider: Name
    action: Annotated[str, Meta(max_length=8)]


class Why(_Request, frozen=True, tag=10):
    """The trace of a message, by its id in hexadecimal."""

    id: Annotated[str, Meta(max_length=64)]


class Leave(_Request, frozen=True, tag=11):
    """Sign a tombstone, tell all peers, and stop. `moved_to`: another provider, or empty."""

    moved_to: Name = ""


class Backup(_Request, frozen=True, tag=12):
    """Copy the database to a file on the node's machine."""

    target: Text


class Stop(_Request, frozen=True, tag=13):
    pass


Request = (
    GetStatus
    | AddUser
    | ListUsers
    | RemoveUser
    | SetReach
    | ListPeers
    | SetPeer
    | ListQueue
    | ActOnQueue
    | Why
    | Leave
    | Backup
    | Stop
)


class Response(Struct, frozen=True, array_like=True, gc=False):
    """Code 0: `json` is the answer; else `text` is what to tell the person."""

    code: U16
    text: Text = ""
    json: Json = ""
