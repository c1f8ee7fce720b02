import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from waypost.crypto.keys import SigningKey, key_text
from waypost.daemon import state as states
from waypost.daemon.backup import copy_stopped, restore_backup, write_backup
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError
from waypost.storage.sqlite import schema

SEED = bytes(range(32))
NOW_MS = 1_800_000_000_000
MANIFEST = {
    "format": 1,
    "provider": "birdy.local",
    "made_ms": NOW_MS,
    "with_keys": True,
    "key": key_text(SigningKey(SEED).public),
}


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "node")
    states.make(made, 'name = "birdy.local"\n', SEED)
    with closing(sqlite3.connect(made.database, isolation_level=None)) as database:
        schema.upgrade(database, made.database)
        database.execute("INSERT INTO account (user, created_ms) VALUES ('alice', 1)")
    return made


def epoch(state: StateDir) -> int:
    with closing(sqlite3.connect(state.database)) as database:
        return int(database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])


def users(state: StateDir) -> list[str]:
    with closing(sqlite3.connect(state.database)) as database:
        return [row[0] for row in database.execute("SELECT user FROM account")]


def make_backup(state: StateDir, target: Path, *, with_keys: bool = True) -> None:
    write_backup(state, target, copy_stopped(state), with_keys=with_keys, now_ms=NOW_MS)


def test_there_and_back(state: StateDir, tmp_path: Path) -> None:
    file, restored = tmp_path / "b.tar", StateDir(tmp_path / "restored")
    make_backup(state, file)
    assert file.stat().st_mode & 0o777 == 0o600
    contents = restore_backup(file, restored, NOW_MS + 5)
    assert (contents.provider, contents.made_ms, contents.with_keys) == ("birdy.local", NOW_MS, True)
    assert restored.path.stat().st_mode & 0o777 == 0o700
    assert states.read_seed(restored) == SEED
    assert restored.config.read_bytes() == state.config.read_bytes()
    assert users(restored) == ["alice"]
    assert epoch(restored) == NOW_MS + 5
    assert epoch(state) == 1
    left = {path.name for path in restored.path.iterdir()}
    assert left == {"waypost.toml", "waypost.db", "node.key", "lock"}


def test_a_restored_node_gives_no_one_time_key_out_again(state: StateDir, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state.database, isolation_level=None)) as database:
        database.execute("INSERT INTO mailbox (id, kind, owner) VALUES (1, 0, 'device')")
        insert = "INSERT INTO device (key, user, label, joined_ms, mailbox) VALUES (?, 'alice', '', 1, 1)"
        database.execute(insert, (bytes(32),))
        insert = "INSERT INTO package (device, suite, last_resort, expires_ms, data) VALUES (?, 'seal.1', ?, 9, x'')"
        database.executemany(insert, [(bytes(32), last_resort) for last_resort in (0, 0, 1)])
    make_backup(state, tmp_path / "b.tar")
    restore_backup(tmp_path / "b.tar", StateDir(tmp_path / "restored"), NOW_MS)
    with closing(sqlite3.connect(tmp_path / "restored" / "waypost.db")) as database:
        assert database.execute("SELECT last_resort FROM package").fetchall() == [(1,)]


def test_without_keys(state: StateDir, tmp_path: Path) -> None:
    file, restored = tmp_path / "b.tar", StateDir(tmp_path / "restored")
    make_backup(state, file, with_keys=False)
    assert SEED.hex().encode() not in file.read_bytes()
    assert not restore_backup(file, restored, NOW_MS).with_keys
    assert not restored.key.exists()


def test_backup_overwrites_nothing(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    file.write_bytes(b"precious")
    with pytest.raises(LocalError) as raised:
        make_backup(state, file)
    assert raised.value.code is Code.BACKUP_FAILED
    assert file.read_bytes() == b"precious"


def test_failed_backup_leaves_nothing(state: StateDir, tmp_path: Path) -> None:
    state.database.write_bytes(b"no database" * 1000)
    with pytest.raises(LocalError) as raised:
        make_backup(state, tmp_path / "b.tar")
    assert raised.value.code is Code.BACKUP_FAILED
    assert not (tmp_path / "b.tar").exists()
    assert not [path for path in state.path.iterdir() if path.name.startswith("backup-")]


def test_restore_into_a_directory_that_is_not_empty(state: StateDir, tmp_path: Path) -> None:
    file, restored = tmp_path / "b.tar", StateDir(tmp_path / "restored")
    make_backup(state, file)
    restored.path.mkdir()
    (restored.path / "precious").write_bytes(b"x")
    with pytest.raises(LocalError) as raised:
        restore_backup(file, restored, NOW_MS)
    assert raised.value.code is Code.STATE_IN_USE
    assert [path.name for path in restored.path.iterdir()] == ["precious"]


Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, data: bytes, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(data)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data


def good(database: bytes, manifest: dict[str, Any] | None = None) -> Members:
    return [
        member("backup.json", json.dumps(MANIFEST | (manifest or {})).encode()),
        member("waypost.toml", b'name = "birdy.local"\n'),
        member("node.key", SEED.hex().encode()),
        member("waypost.db", database),
    ]


def without(name: str, members: Members) -> Members:
    return [entry for entry in members if entry[0].name != name]


def newer(database: bytes, tmp: Path) -> bytes:
    path = tmp / "newer.db"
    path.write_bytes(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("UPDATE meta SET value = 9999 WHERE name = 'schema'")
    return path.read_bytes()


HOSTILE: dict[str, tuple[Callable[[bytes, Path], Members], Code]] = {
    "a path upwards": (lambda db, _: [*good(db), member("../evil", b"x")], Code.BACKUP_FAILED),
    "an absolute path": (lambda db, _: [*good(db), member("/tmp/evil", b"x")], Code.BACKUP_FAILED),
    "another file": (lambda db, _: [*good(db), member("admin.sock", b"x")], Code.BACKUP_FAILED),
    "a known name below a directory": (
        lambda db, _: [*without("waypost.toml", good(db)), member("./waypost.toml", b"x")],
        Code.BACKUP_FAILED,
    ),
    "a link": (
        lambda db, _: [
            *without("node.key", good(db)),
            member("node.key", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        ],
        Code.BACKUP_FAILED,
    ),
    "a hard link": (
        lambda db, _: [
            *without("node.key", good(db)),
            member("node.key", b"", type=tarfile.LNKTYPE, linkname="waypost.db"),
        ],
        Code.BACKUP_FAILED,
    ),
    "a device": (
        lambda db, _: [*without("node.key", good(db)), member("node.key", b"", type=tarfile.CHRTYPE)],
        Code.BACKUP_FAILED,
    ),
    "a member twice": (lambda db, _: [*good(db), member("node.key", SEED.hex().encode())], Code.BACKUP_FAILED),
    "an endless configuration": (
        lambda db, _: [*without("waypost.toml", good(db)), member("waypost.toml", b"#" * (2 << 20))],
        Code.BACKUP_FAILED,
    ),
    "no manifest": (lambda db, _: without("backup.json", good(db)), Code.BACKUP_FAILED),
    "no database": (lambda db, _: without("waypost.db", good(db)), Code.BACKUP_FAILED),
    "no key though promised": (lambda db, _: without("node.key", good(db)), Code.BACKUP_FAILED),
    "a key though none promised": (lambda db, _: good(db, {"with_keys": False}), Code.BACKUP_FAILED),
    "another key": (lambda db, _: good(db, {"key": key_text(bytes(32))}), Code.BACKUP_FAILED),
    "another provider": (lambda db, _: good(db, {"provider": "finch.local"}), Code.BACKUP_FAILED),
    "a newer format": (lambda db, _: good(db, {"format": 2}), Code.STATE_TOO_NEW),
    "no format": (lambda db, _: good(db, {"format": None}), Code.BACKUP_FAILED),
    "a manifest that is no JSON": (
        lambda db, _: [member("backup.json", b"[" * 60_000), *without("backup.json", good(db))],
        Code.BACKUP_FAILED,
    ),
    "a configuration with faults": (
        lambda db, _: [*without("waypost.toml", good(db)), member("waypost.toml", b"name = 3")],
        Code.BAD_CONFIG,
    ),
    "no key in the key file": (
        lambda db, _: [*without("node.key", good(db)), member("node.key", b"key")],
        Code.STATE_DAMAGED,
    ),
    "a database of a newer version": (lambda db, tmp: good(newer(db, tmp)), Code.STATE_TOO_NEW),
    "an empty database": (lambda _, __: good(b""), Code.BACKUP_FAILED),
    "no database in the database": (lambda _, __: good(b"x" * 10_000), Code.BACKUP_FAILED),
    "a database cut short": (lambda db, _: good(db[: len(db) // 2]), Code.BACKUP_FAILED),
}


def write_archive(path: Path, members: Members) -> None:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archive_is_refused_and_leaves_nothing(what: str, state: StateDir, tmp_path: Path) -> None:
    make, code = HOSTILE[what]
    file, restored = tmp_path / "b.tar", StateDir(tmp_path / "inner" / "restored")
    write_archive(file, make(state.database.read_bytes(), tmp_path))
    with pytest.raises(LocalError) as raised:
        restore_backup(file, restored, NOW_MS)
    assert raised.value.code is code
    assert {path.name for path in restored.path.iterdir()} <= {"lock"}
    assert {path.name for path in restored.path.parent.iterdir()} == {"restored"}


def test_the_same_archive_without_hostility_is_taken(state: StateDir, tmp_path: Path) -> None:
    write_archive(tmp_path / "b.tar", good(state.database.read_bytes()))
    assert restore_backup(tmp_path / "b.tar", StateDir(tmp_path / "restored"), NOW_MS).provider == "birdy.local"


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, b"\x1f\x8b" + bytes(1000)])
def test_no_archive(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    file.write_bytes(data)
    with pytest.raises(LocalError) as raised:
        restore_backup(file, StateDir(tmp_path / "restored"), NOW_MS)
    assert raised.value.code is Code.BACKUP_FAILED


def test_archive_cut_short_at_every_block(state: StateDir, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    make_backup(state, file)
    data = file.read_bytes()
    ends = data.rstrip(b"\0")
    for length in range(0, len(ends) - 512, max(512, len(ends) // 40 // 512 * 512)):
        file.write_bytes(data[:length])
        restored = StateDir(tmp_path / f"restored-{length}")
        with pytest.raises(LocalError) as raised:
            restore_backup(file, restored, NOW_MS)
        assert raised.value.code is Code.BACKUP_FAILED
        assert not restored.exists()


def test_restore_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as raised:
        restore_backup(tmp_path / "none", StateDir(tmp_path / "restored"), NOW_MS)
    assert raised.value.code is Code.BACKUP_FAILED
