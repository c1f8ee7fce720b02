"""Whose key is whose: the identity key first seen for an address stays its key until the user accepts another.

Also the claimed key packages of others, which serve for `PACKAGE_REUSE_MS`. All functions work inside a transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated

from msgspec import Meta, Struct

from waypost.clock import WallMs
from waypost.crypto.seal import SUITE
from waypost.errors import Code, PeerFault
from waypost.limits import BUNDLES_MAX, DEVICES_PER_ACCOUNT_MAX, PACKAGE_REUSE_MS, PINS_MAX
from waypost.protocol.directory.asks import PackageBytes
from waypost.protocol.directory.bundle import Bundle, DeviceList, open_device_list
from waypost.protocol.frames.codec import Id, pack, read

#: (package id, public key) of each device.
Packages = tuple[tuple[bytes, bytes], ...]


class Meeting(Enum):
    """How a key that speaks for an address compares with the pinned one."""

    FIRST = auto()
    SAME = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True)
class Pin:
    identity: bytes
    changed: bytes  #: another identity key that the address's node has served since; empty: none
    devices: DeviceList


class _Package(Struct, frozen=True, array_like=True):
    id: Id
    public: PackageBytes


class _Cached(Struct, frozen=True, array_like=True):
    packages: Annotated[tuple[_Package, ...], Meta(min_length=1, max_length=DEVICES_PER_ACCOUNT_MAX)]


def pin_of(conn: sqlite3.Connection, address: str) -> Pin | None:
    """What is pinned for an address."""
    row = conn.execute("SELECT identity, changed, list FROM pin WHERE address = ?", (address,)).fetchone()
    return Pin(row[0], row[1], open_device_list(row[2], address)) if row else None


def heard(conn: sqlite3.Connection, devices: DeviceList, data: bytes, signer: bytes | None, now_ms: WallMs) -> Meeting:
    """Compare a verified device list with what is pinned for its address; pin it at first sight, follow newer ones.

    A list older than the known one, or unlike it with the same sequence, may still come with a message that was long on
    its way: it does if `signer`, the device that speaks, is in the known list too. Otherwise, and where nobody speaks
    (`signer` None: the address's node serves the list), raises PeerFault(BAD_SIGNATURE).
    """
    address = devices.address
    pin = pin_of(conn, address)
    if pin is None:
        _make_room(conn)
        conn.execute(
            "INSERT INTO pin (address, identity, list, written, since_ms) VALUES (?, ?, ?, 0, ?)",
            (address, devices.key, data, now_ms),
        )
        return Meeting.FIRST
    if pin.identity != devices.key:
        # Whoever lost the old key cannot read what is written to it: the next message asks the address's node.
        drop_bundle(conn, address)
        return Meeting.CHANGED
    if devices.sequence > pin.devices.sequence:
        conn.execute("UPDATE pin SET list = ? WHERE address = ?", (data, address))
        drop_bundle(conn, address)
    elif devices != pin.devices and (signer is None or signer not in pin.devices.devices):
        raise PeerFault(Code.BAD_SIGNATURE, f"an older device list of {address}")
    return Meeting.SAME


def mark_changed(conn: sqlite3.Connection, address: str, identity: bytes) -> None:
    """The address's node serves another identity key than the pinned one."""
    conn.execute("UPDATE pin SET changed = ? WHERE address = ?", (identity, address))
    drop_bundle(conn, address)


def accept(conn: sqlite3.Connection, devices: DeviceList, data: bytes, now_ms: WallMs) -> None:
    """The key that is served now is the pinned one, or the user has accepted it."""
    conn.execute(
        "UPDATE pin SET since_ms = iif(identity = ?, since_ms, ?), identity = ?, list = ?, changed = x''"
        " WHERE address = ?",
        (devices.key, now_ms, devices.key, data, devices.address),
    )


def packages_for(conn: sqlite3.Connection, address: str, now_ms: WallMs) -> Packages | None:
    """The claimed packages with which to write to an address, while they may be used."""
    row = conn.execute("SELECT packages FROM bundle WHERE address = ? AND until_ms > ?", (address, now_ms)).fetchone()
    return tuple((package.id, package.public) for package in read(row[0], _Cached).packages) if row else None


def save_bundle(conn: sqlite3.Connection, bundle: Bundle, now_ms: WallMs) -> Packages:
    """Keep what was claimed; returns what can be used of it, nothing if there is nothing."""
    usable = [opened for opened in bundle.packages if opened.package.suite == SUITE]
    packages: Packages = tuple((opened.id, opened.package.init) for opened in usable[:DEVICES_PER_ACCOUNT_MAX])
    conn.execute("UPDATE pin SET written = 1 WHERE address = ?", (bundle.address,))
    if packages:
        until_ms = min(now_ms + PACKAGE_REUSE_MS, *(opened.package.expires_ms for opened in usable))
        cached = _Cached(tuple(_Package(*package) for package in packages))
        conn.execute("INSERT OR REPLACE INTO bundle VALUES (?, ?, ?)", (bundle.address, until_ms, pack(cached)))
        conn.execute(
            "DELETE FROM bundle WHERE address IN (SELECT address FROM bundle ORDER BY until_ms DESC LIMIT -1 OFFSET ?)",
            (BUNDLES_MAX,),
        )
    return packages


def drop_bundle(conn: sqlite3.Connection, address: str) -> None:
    """Its packages are not to be used any more: the next message claims others."""
    conn.execute("DELETE FROM bundle WHERE address = ?", (address,))


def drop_old_bundles(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """Those whose time is over."""
    conn.execute("DELETE FROM bundle WHERE until_ms <= ?", (now_ms,))


def _make_room(conn: sqlite3.Connection) -> None:
    (count,) = conn.execute("SELECT count(*) FROM pin").fetchone()
    if count >= PINS_MAX:
        # Whoever writes to us makes us pin; whom we have written to must not be pushed out by that.
        conn.execute("DELETE FROM pin WHERE id = (SELECT min(id) FROM pin WHERE written = 0)")
