"""What every scheme does for those who write and read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from waypost.client.mail.content import Content
from waypost.client.schemes.own_packages import OwnPackages
from waypost.clock import WallMs
from waypost.ids import Address
from waypost.protocol.custody.envelope import Envelope
from waypost.protocol.directory.bundle import Bundle, DeviceList


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """What a device of `sender` has said; `devices`, of which it is one, is signed by the account's identity key."""

    sender: Address
    content: Content
    created_ms: WallMs
    device: bytes
    devices: DeviceList
    device_list: bytes  #: the signed bytes of `devices`
    digest: bytes  #: 16 bytes; the same in whatever envelope the content comes


class Scheme(Protocol):
    """What takes a connection works inside its transaction."""

    @property
    def suite(self) -> str:
        """Its name in envelopes, claims and key packages."""

    @property
    def packages(self) -> OwnPackages:
        """This device's own key packages, with which others write to it."""

    def write(self, recipient: Address, content: Content, now_ms: WallMs) -> bytes:
        """What is said, in the form that is kept until it is sealed. Raises Refused(TOO_LARGE)."""

    def keep_keys(self, conn: sqlite3.Connection, bundle: Bundle, now_ms: WallMs) -> bool:
        """Keep what was claimed; whether any of it serves."""

    def drop_keys(self, conn: sqlite3.Connection, recipient: Address) -> None:
        """Write no more with the keys that are kept of a recipient."""

    def sealing(self, conn: sqlite3.Connection, recipient: Address, now_ms: WallMs) -> Callable[[bytes], bytes] | None:
        """What makes bodies of envelopes for a recipient, each from what `write` gave; None: keys have to be claimed.

        It raises PeerFault(BAD_PACKAGE) for unusable keys, Refused(TOO_LARGE).
        """

    def open(self, conn: sqlite3.Connection, envelope: Envelope) -> OpenedMessage:
        """The content of an envelope for us, checked against it; the caller compares the identity with the known one.

        Raises PeerFault: MALFORMED_ENVELOPE, BAD_SIGNATURE, FORGED_SENDER, NOT_OURS; LocalError: CANNOT_DECRYPT,
        STATE_DAMAGED.
        """
