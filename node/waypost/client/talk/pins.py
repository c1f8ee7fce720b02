"""Whose key is whose: the identity key first seen for an address stays its key until the user accepts another.

All functions work inside a transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import Enum, auto

from waypost.client.schemes import claimed
from waypost.clock import WallMs
from waypost.errors import Code, PeerFault
from waypost.ids import Address, parse_address
from waypost.limits import PINS_MAX
from waypost.protocol.directory.bundle import DeviceList, open_device_list


class KeyMatch(Enum):
    """How a key that speaks for an address compares with the pinned one."""

    FIRST = auto()
    SAME = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True)
class Pin:
    identity: bytes
    changed: bytes  #: another identity key that the address's node has served since; empty: none
    device_list: bytes  #: the newest that `identity` has signed


def pin_of(conn: sqlite3.Connection, address: Address) -> Pin | None:
    """What is pinned for an address."""
    row = conn.execute("SELECT identity, changed, list FROM pin WHERE address = ?", (str(address),)).fetchone()
    return Pin(*row) if row else None


def heard(conn: sqlite3.Connection, devices: DeviceList, data: bytes, signer: bytes | None, now_ms: WallMs) -> KeyMatch:
    """Compare a verified device list with what is pinned for its address; pin it at first sight, follow newer ones.

    A list older than the known one, or unlike it with the same sequence, may still come with a message that was long on
    its way: it does if `signer`, the device that speaks, is in the known list too. Otherwise, and where nobody speaks
    (`signer` None: the address's node serves the list), raises PeerFault(BAD_SIGNATURE).
    """
    address = parse_address(devices.address)
    pin = pin_of(conn, address)
    if pin is None:
        _make_room(conn)
        conn.execute(
            "INSERT INTO pin (address, identity, list, written, since_ms) VALUES (?, ?, ?, 0, ?)",
            (str(address), devices.key, data, now_ms),
        )
        return KeyMatch.FIRST
    if pin.identity != devices.key:
        # Whoever lost the old key cannot read what is written to it: the next message asks the address's node.
        claimed.drop(conn, address)
        return KeyMatch.CHANGED
    if data == pin.device_list:
        return KeyMatch.SAME
    known = open_device_list(pin.device_list, str(address))
    if devices.sequence > known.sequence:
        conn.execute("UPDATE pin SET list = ? WHERE address = ?", (data, str(address)))
        claimed.drop(conn, address)
    elif devices != known and (signer is None or signer not in known.devices):
        raise PeerFault(Code.BAD_SIGNATURE, f"an older device list of {address}")
    return KeyMatch.SAME


def mark_changed(conn: sqlite3.Connection, address: Address, identity: bytes) -> None:
    """The address's node serves another identity key than the pinned one."""
    conn.execute("UPDATE pin SET changed = ? WHERE address = ?", (identity, str(address)))
    claimed.drop(conn, address)


def accept(conn: sqlite3.Connection, devices: DeviceList, data: bytes, now_ms: WallMs) -> None:
    """The key that is served now is the pinned one, or the user has accepted it."""
    conn.execute(
        "UPDATE pin SET since_ms = iif(identity = ?, since_ms, ?), identity = ?, list = ?, changed = x''"
        " WHERE address = ?",
        (devices.key, now_ms, devices.key, data, devices.address),
    )


def mark_written(conn: sqlite3.Connection, address: Address) -> None:
    """We write to that address, so it is not forgotten to make room."""
    conn.execute("UPDATE pin SET written = 1 WHERE address = ?", (str(address),))


def _make_room(conn: sqlite3.Connection) -> None:
    (count,) = conn.execute("SELECT count(*) FROM pin").fetchone()
    if count >= PINS_MAX:
        # Whoever writes to us makes us pin; whom we have written to must not be pushed out by that.
        conn.execute("DELETE FROM pin WHERE id = (SELECT min(id) FROM pin WHERE written = 0)")
