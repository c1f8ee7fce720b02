"""A profile: the directory that makes a program one device of one account.

    lock      held while a program uses the profile
    secrets   identity, device and storage seeds; under a passphrase if there is one
    account   address, the node's key and endpoints; written once the node has let us join
    joining   the invite, until then
    state.db  messages and keys (see `schema`)
    state.db.before-N  what it was before it was brought to schema N; kept for SCHEMA_COPY_KEPT_MS

The directory is its owner's alone (0700), and so are the files (0600). A file is replaced whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from waypost.client.profile.files import replace, sync
from waypost.crypto import vault
from waypost.crypto.keys import SigningKey
from waypost.errors import Code, LocalError, PeerFault
from waypost.ids import Address, parse_address
from waypost.limits import RECORD_ENDPOINTS_MAX
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.directory.invite import Invite
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.frames.codec import Key, Name, pack, read

STATE_FILE = "state.db"

_PLAIN = b"waypost plain 1\0"
_SEED_BYTES = 32

T = TypeVar("T", bound=Struct)


class Secrets(Struct, frozen=True, array_like=True):
    """`storage` is what encrypts contents in the database."""

    version: Annotated[int, Meta(ge=1, le=1)]
    identity: Key
    device: Key
    storage: Key


class OwnAccount(Struct, frozen=True, array_like=True):
    """What the profile knows of its account and its node."""

    version: Annotated[int, Meta(ge=1, le=1)]
    address: Name
    node_key: Key
    endpoints: Annotated[tuple[RecordEndpoint, ...], Meta(min_length=1, max_length=RECORD_ENDPOINTS_MAX)]


@dataclass(frozen=True)
class Lock:
    """How new secrets are locked; no passphrase leaves the file's mode as their only protection."""

    passphrase: str | None
    random: Callable[[int], bytes]
    cost: vault.Cost = vault.ORDINARY_COST


class Profile:
    """An opened profile; nobody else can open it until `close`. Made by `open_profile` or `new_profile`."""

    def __init__(self, directory: Path, lock: int, secrets: Secrets, account: OwnAccount) -> None:
        self._lock = lock
        self.directory = directory
        self.account = account
        self.address: Address = parse_address(account.address)
        self.identity = SigningKey(secrets.identity)
        self.device = SigningKey(secrets.device)
        self.storage_seed = secrets.storage

    @property
    def state_path(self) -> Path:
        return self.directory / STATE_FILE

    def signed_device_list(self) -> bytes:
        """The signed list of this account's devices: this one."""
        devices = DeviceList(1, str(self.address), self.identity.public, 1, (self.device.public,))
        return sign_device_list(devices, self.identity)

    def save_node(self, node_key: bytes, endpoints: tuple[RecordEndpoint, ...]) -> None:
        """Where the node is from now on, and by which key it is known."""
        account = OwnAccount(1, self.account.address, node_key, endpoints or self.account.endpoints)
        if account != self.account:
            replace(self.directory / "account", pack(account))
            self.account = account

    def complete(self) -> None:
        """The node has let us join: the profile is one."""
        replace(self.directory / "account", pack(self.account))
        (self.directory / "joining").unlink(missing_ok=True)
        sync(self.directory)

    def close(self) -> None:
        os.close(self._lock)


def open_profile(directory: Path, passphrase: str | None) -> Profile:
    """Raises LocalError: NO_PROFILE, PROFILE_IN_USE, WRONG_PASSPHRASE, STATE_DAMAGED."""
    if not (directory / "account").is_file():
        raise LocalError(Code.NO_PROFILE, str(directory))
    lock = _take_lock(directory)
    try:
        return Profile(directory, lock, _load_secrets(directory, passphrase), _load(directory / "account", OwnAccount))
    except BaseException:
        os.close(lock)
        raise


def new_profile(directory: Path, invite: Invite, lock_with: Lock) -> Profile:
    """The profile with which to join; the same again if an earlier attempt with this invite was cut short.

    It has to be completed. Raises LocalError: PROFILE_EXISTS, PROFILE_IN_USE, WRONG_PASSPHRASE, STATE_DAMAGED.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / "account").exists():
        raise LocalError(Code.PROFILE_EXISTS, str(directory))
    others = {path.name for path in directory.iterdir()} - {"lock", "secrets", "joining"}
    if {name for name in others if not name.endswith(".new")}:
        raise LocalError(Code.PROFILE_EXISTS, f"{directory} has other files in it")
    directory.chmod(0o700)
    lock = _take_lock(directory)
    try:
        joining = directory / "joining"
        if joining.exists() and _load(joining, Invite).token == invite.token:
            # The node may have taken this very device already, and only its answer was lost.
            secrets = _load_secrets(directory, lock_with.passphrase)
        else:
            secrets = Secrets(1, *(lock_with.random(_SEED_BYTES) for _ in range(3)))
            joining.unlink(missing_ok=True)
            replace(directory / "secrets", _locked(secrets, lock_with))
            replace(joining, pack(invite))
        return Profile(directory, lock, secrets, OwnAccount(1, invite.address, invite.node_key, invite.endpoints))
    except BaseException:
        os.close(lock)
        raise


def _locked(secrets: Secrets, lock: Lock) -> bytes:
    plain = pack(secrets)
    if lock.passphrase is None:
        return _PLAIN + plain
    return vault.lock(plain, lock.passphrase, lock.random(vault.SALT_BYTES), lock.random(vault.NONCE_BYTES), lock.cost)


def _load_secrets(directory: Path, passphrase: str | None) -> Secrets:
    data = _read(directory / "secrets")
    if data.startswith(_PLAIN):
        return _parse(data.removeprefix(_PLAIN), Secrets, directory / "secrets")
    if passphrase is None:
        raise LocalError(Code.WRONG_PASSPHRASE, "the profile has one, and none was given")
    return _parse(vault.unlock(data, passphrase), Secrets, directory / "secrets")


def _load(path: Path, kind: type[T]) -> T:
    return _parse(_read(path), kind, path)


def _parse(data: bytes, kind: type[T], path: Path) -> T:
    try:
        return read(data, kind)
    except PeerFault as fault:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {fault.detail}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error.strerror}") from None


def _take_lock(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise LocalError(Code.PROFILE_IN_USE, str(directory)) from None
    return lock
