"""The claimed key packages of others, which serve for PACKAGE_REUSE_MS. All functions work inside a transaction."""

from __future__ import annotations

import sqlite3
from typing import Annotated

from msgspec import Meta, Struct

from waypost.clock import WallMs
from waypost.ids import Address
from waypost.limits import BUNDLES_MAX, DEVICES_PER_ACCOUNT_MAX, PACKAGE_REUSE_MS
from waypost.protocol.directory.asks import PackageBytes
from waypost.protocol.directory.bundle import Bundle
from waypost.protocol.frames.codec import Id, pack, read

#: (package id, public key) of each device.
Packages = tuple[tuple[bytes, bytes], ...]


class _Package(Struct, frozen=True, array_like=True):
    id: Id
    public: PackageBytes


class _Cached(Struct, frozen=True, array_like=True):
    packages: Annotated[tuple[_Package, ...], Meta(min_length=1, max_length=DEVICES_PER_ACCOUNT_MAX)]


def find(conn: sqlite3.Connection, address: Address, now_ms: WallMs) -> Packages | None:
    """Those with which to write to an address, while they may be used."""
    row = conn.execute(
        "SELECT packages FROM bundle WHERE address = ? AND until_ms > ?", (str(address), now_ms)
    ).fetchone()
    return tuple((package.id, package.public) for package in read(row[0], _Cached).packages) if row else None


def save(conn: sqlite3.Connection, bundle: Bundle, suite: str, now_ms: WallMs) -> bool:
    """Keep what was claimed for a suite; whether there was anything."""
    usable = [opened for opened in bundle.packages if opened.package.suite == suite]
    if not usable:
        return False
    until_ms = min(now_ms + PACKAGE_REUSE_MS, *(opened.package.expires_ms for opened in usable))
    cached = _Cached(tuple(_Package(opened.id, opened.package.init) for opened in usable[:DEVICES_PER_ACCOUNT_MAX]))
    address = str(bundle.address)
    conn.execute("INSERT OR REPLACE INTO bundle VALUES (?, ?, ?)", (address, until_ms, pack(cached)))
    conn.execute(
        "DELETE FROM bundle WHERE address <> ?"
        " AND address IN (SELECT address FROM bundle ORDER BY until_ms DESC LIMIT -1 OFFSET ?)",
        (address, BUNDLES_MAX),
    )
    return True


def drop(conn: sqlite3.Connection, address: Address) -> None:
    """Its packages are not to be used any more: the next message claims others."""
    conn.execute("DELETE FROM bundle WHERE address = ?", (str(address),))


def drop_old(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """Those whose time is over."""
    conn.execute("DELETE FROM bundle WHERE until_ms <= ?", (now_ms,))
