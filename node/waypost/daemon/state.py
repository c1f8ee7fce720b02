"""The state directory of a node: what is where in it, who may read it, and who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from waypost.errors import Code, LocalError

#: `sun_path` holds 108 bytes on Linux and 104 elsewhere, the closing zero included.
SOCKET_PATH_MAX_BYTES: Final = 103
_SEED_BYTES: Final = 32
_NOT_OURS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class StateDir:
    """Paths only; nothing is opened."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "waypost.toml"

    @property
    def key(self) -> Path:
        """The node key: 32 bytes, the seed in itself, as hexadecimal on one line."""
        return self.path / "node.key"

    @property
    def database(self) -> Path:
        return self.path / "waypost.db"

    @property
    def socket(self) -> Path:
        return self.path / "admin.sock"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def running(self) -> Path:
        """There while a node runs: JSON with pid, provider and ports."""
        return self.path / "node.json"

    def exists(self) -> bool:
        return self.config.exists() or self.key.exists() or self.database.exists()


def default_state() -> Path:
    """`$WAYPOST_STATE`, else `waypost` in the user's state directory."""
    named = os.environ.get("WAYPOST_STATE")
    return Path(named) if named else user_state() / "waypost"


def user_state() -> Path:
    """The user's state directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base) if base else Path.home() / ".local" / "state"


def make(state: StateDir, config_text: str, seed: bytes) -> None:
    """A new state directory. Raises LocalError(STATE_IN_USE) if there is a node in it already, or UNSUPPORTED."""
    if state.exists():
        raise LocalError(Code.STATE_IN_USE, f"{state.path} belongs to a node already")
    try:
        make_private_directory(state.path)
        write_private(state.key, seed.hex().encode("ascii") + b"\n")
        write_private(state.config, config_text.encode())
    except OSError as error:
        raise LocalError(Code.UNSUPPORTED, f"cannot write {state.path} ({error.strerror})") from error


def make_private_directory(path: Path) -> None:
    """Make it and its parents; itself its owner's alone, also if it was there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """A new file of mode 0600, on disk when this returns. Raises FileExistsError rather than overwrite one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def key_trouble(state: StateDir) -> LocalError | None:
    """What is wrong with the node key file, if anything: missing, readable by others, or no key."""
    try:
        read_seed(state)
    except LocalError as error:
        return error
    return None


def read_seed(state: StateDir) -> bytes:
    """The seed of the node key, 32 bytes. Raises LocalError(STATE_MISSING | STATE_DAMAGED)."""
    path = state.key
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4 * _SEED_BYTES)
    except FileNotFoundError:
        raise LocalError(Code.STATE_MISSING, f"{path} is missing") from None
    except OSError as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path} cannot be read ({error.strerror})") from None
    if mode & _NOT_OURS:
        detail = f"others may read {path} (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
        raise LocalError(Code.STATE_DAMAGED, detail)
    try:
        seed = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise LocalError(Code.STATE_DAMAGED, f"{path} holds no key: 64 hexadecimal digits")
    return seed


@contextmanager
def hold(state: StateDir) -> Iterator[None]:
    """Keep every other node out of the directory.

    Raises LocalError: STATE_IN_USE, saying who holds it, STATE_MISSING or STATE_DAMAGED.

    The lock is the kernel's, so it goes with the process, however that ends.
    """
    try:
        descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise LocalError(Code.STATE_MISSING, str(state.path)) from None
    except OSError as error:
        raise LocalError(Code.STATE_DAMAGED, f"{state.lock}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise LocalError(Code.STATE_DAMAGED, f"{state.lock}: {error.strerror}") from None
            raise LocalError(Code.STATE_IN_USE, f"{state.path} is held by {_holder(descriptor)}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(state: StateDir) -> bool:
    """Whether a node runs on the directory now."""
    try:
        descriptor = os.open(state.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "another process"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A name for a Unix socket that the kernel takes however long the path is; valid inside the block.

    Raises LocalError(UNSUPPORTED) where a long path cannot be helped, STATE_MISSING without its directory.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
        yield str(path)
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise LocalError(Code.STATE_MISSING, str(path.parent)) from None
    try:
        short = f"/proc/self/fd/{descriptor}/{path.name}"
        if not Path(short).parent.exists():
            detail = f"the path of a socket has at most {SOCKET_PATH_MAX_BYTES} bytes here, {path} is longer"
            raise LocalError(Code.UNSUPPORTED, f"{detail}; name a shorter directory with --state")
        yield short
    finally:
        os.close(descriptor)


@contextmanager
def announced(state: StateDir, facts: dict[str, Any]) -> Iterator[None]:
    """Keep `node.json` with these facts, for whoever started the node, while the block runs."""
    fresh = state.running.with_name(state.running.name + ".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, json.dumps({"pid": os.getpid(), **facts}).encode() + b"\n")
    fresh.replace(state.running)
    try:
        yield
    finally:
        with suppress(OSError):
            state.running.unlink()
