"""One file that holds a node's state, and the way back from it.

A tar archive, not compressed: `backup.json` (what it is), `waypost.toml`, `waypost.db` and, if wanted, `node.key`.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec

from waypost.clock import WallMs
from waypost.crypto.keys import SigningKey, key_text
from waypost.daemon import config
from waypost.daemon.state import StateDir, hold, make_private_directory, read_seed, write_private
from waypost.errors import Code, LocalError
from waypost.limits import KIB, MIB
from waypost.storage.sqlite import schema

_MANIFEST: Final = "backup.json"
_FORMAT: Final = 1
#: The most that each member may hold; for the database the archive itself is the bound.
_SMALL: Final = {_MANIFEST: 64 * KIB, "waypost.toml": MIB, "node.key": KIB}
_DATABASE: Final = "waypost.db"
_CHUNK_BYTES: Final = MIB


class _Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """As much as the manifests of all formats share."""

    format: Annotated[int, msgspec.Meta(ge=1)]


class Contents(_Manifest, frozen=True):
    """What an archive holds."""

    provider: str
    made_ms: WallMs
    with_keys: bool
    key: str = ""  #: the node's, public; empty without keys


def write_backup(
    state: StateDir, target: Path, copy_database: Callable[[Path], None], *, with_keys: bool, now_ms: WallMs
) -> Contents:
    """Make the archive, mode 0600. `copy_database` writes a consistent copy to the path given, which is not there yet.

    Raises LocalError(BACKUP_FAILED); nothing is left behind then. A target that exists is not overwritten.
    """
    provider = config.load(state.config).provider
    seed = read_seed(state) if with_keys else None
    key = key_text(SigningKey(seed).public) if seed is not None else ""
    contents = Contents(_FORMAT, provider, now_ms, with_keys, key)
    with _reported(), tempfile.TemporaryDirectory(prefix="backup-", dir=state.path) as scratch:
        copy = Path(scratch) / _DATABASE
        copy_database(copy)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    _add(archive, _MANIFEST, msgspec.json.encode(contents))
                    _add(archive, "waypost.toml", state.config.read_bytes())
                    if seed is not None:
                        _add(archive, "node.key", seed.hex().encode() + b"\n")
                    with copy.open("rb") as database:
                        archive.addfile(_member(_DATABASE, copy.stat().st_size), database)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return contents


def copy_stopped(state: StateDir) -> Callable[[Path], None]:
    """For `write_backup`, while no node runs and the caller holds the directory."""

    def copy(target: Path) -> None:
        if not state.database.exists():
            raise LocalError(Code.BACKUP_FAILED, f"{state.database} is missing: the node has never run")
        with closing(sqlite3.connect(f"file:{state.database}?mode=rw", uri=True)) as database:
            schema.copy_to(database, target)

    return copy


def restore_backup(archive: Path, state: StateDir, now_ms: WallMs) -> Contents:
    """Fill an empty state directory from an archive, and give the key directory a new epoch.

    Raises LocalError: STATE_IN_USE if there is anything in the directory, BACKUP_FAILED, STATE_TOO_NEW, BAD_CONFIG.
    Nothing is left behind then.
    """
    if state.path.exists() and any(entry.name != state.lock.name for entry in state.path.iterdir()):
        raise LocalError(Code.STATE_IN_USE, f"{state.path} is not empty")
    with _reported():
        make_private_directory(state.path)
    with hold(state), _reported(), tempfile.TemporaryDirectory(prefix="restore-", dir=state.path) as scratch:
        unpacked = StateDir(Path(scratch))
        contents = _unpack(archive, unpacked)
        _renew(unpacked.database, now_ms)
        names = [unpacked.config, unpacked.database, *([unpacked.key] if contents.with_keys else [])]
        moved: list[Path] = []
        try:
            for source in names:
                source.rename(state.path / source.name)
                moved.append(state.path / source.name)
        except BaseException:
            for path in moved:
                path.unlink(missing_ok=True)
            raise
    return contents


def _unpack(archive: Path, target: StateDir) -> Contents:
    seen: set[str] = set()
    manifest = b""
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:") as members:
        for member in members:
            # Only these names, so no path leads anywhere; only plain files, so nothing is followed or blown up.
            plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
            if not plain or member.name in seen or member.name not in {*_SMALL, _DATABASE}:
                raise LocalError(Code.BACKUP_FAILED, f"{archive} holds {member.name[:80]!r}, which no backup does")
            if member.size > _SMALL.get(member.name, archive.stat().st_size):
                raise LocalError(Code.BACKUP_FAILED, f"{member.name} in {archive} is too large")
            seen.add(member.name)
            content = members.extractfile(member)
            if content is None:
                raise LocalError(Code.BACKUP_FAILED, f"{member.name} in {archive} cannot be read")
            if member.name == _MANIFEST:
                manifest = content.read()
            elif member.name == _DATABASE:
                _extract(content, target.database)
            else:
                write_private(target.path / member.name, content.read())
    contents = _contents(manifest, seen, archive)
    if config.load(target.config).provider != contents.provider:
        raise LocalError(Code.BACKUP_FAILED, f"{archive} contradicts itself about whose it is")
    if contents.with_keys and contents.key != key_text(SigningKey(read_seed(target)).public):
        raise LocalError(Code.BACKUP_FAILED, f"{archive} contradicts itself about the node key")
    return contents


def _contents(manifest: bytes, seen: set[str], archive: Path) -> Contents:
    try:
        if msgspec.json.decode(manifest, type=_Manifest).format > _FORMAT:
            raise LocalError(Code.STATE_TOO_NEW, f"{archive} was made by a newer version")
        contents = msgspec.json.decode(manifest, type=Contents)
    except (msgspec.DecodeError, RecursionError):
        raise LocalError(Code.BACKUP_FAILED, f"{archive} is not a backup of Waypost's") from None
    wanted = {_MANIFEST, "waypost.toml", _DATABASE} | ({"node.key"} if contents.with_keys else set())
    if seen != wanted:
        raise LocalError(Code.BACKUP_FAILED, f"{archive} is not complete")
    return contents


def _extract(source: IO[bytes], target: Path) -> None:
    write_private(target, b"")
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _renew(database: Path, now_ms: WallMs) -> None:
    """Check the database, and set the epoch by which devices notice that what they published may be gone."""
    newest = max(schema.scripts())
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, isolation_level=None)) as opened:
        opened.execute("PRAGMA trusted_schema = OFF")
        found = schema.version(opened)
        if found > newest:
            raise LocalError(Code.STATE_TOO_NEW, f"the backup has schema {found}, this version knows up to {newest}")
        damage = [row[0] for row in opened.execute("PRAGMA quick_check(3)")]
        if found == 0 or damage != ["ok"]:
            raise LocalError(Code.BACKUP_FAILED, f"the database in it is damaged ({'; '.join(damage) or 'empty'})")
        # Which of them were given out after the backup nobody knows, and none may be given out twice.
        opened.execute("DELETE FROM package WHERE last_resort = 0")
        opened.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (now_ms,))
    for suffix in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            database.with_name(database.name + suffix).unlink()


def _member(name: str, length: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = length, 0o600
    return member


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_member(name, len(data)), io.BytesIO(data))


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise LocalError(Code.BACKUP_FAILED, f"{error.filename} exists already") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise LocalError(Code.BACKUP_FAILED, f"{where}{error.strerror or error}") from error
    except tarfile.TarError as error:
        raise LocalError(Code.BACKUP_FAILED, f"not a backup: {error}") from error
    except sqlite3.Error as error:
        raise LocalError(Code.BACKUP_FAILED, f"database: {error}") from error
