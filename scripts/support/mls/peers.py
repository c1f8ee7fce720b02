"""Other implementations of MLS that may be installed beside this one, to be measured: two wheels over AWS mls-rs."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Client(Protocol):
    """One member, whatever the wheel's interface. Messages are MLSMessages, or what the wheel makes of them."""

    def key_package(self) -> bytes: ...

    def create(self) -> None: ...

    def add(self, packages: list[bytes]) -> tuple[bytes, bytes]:
        """The commit, which is merged already, and the Welcome."""

    def join(self, welcome: bytes) -> None: ...

    def encrypt(self, data: bytes) -> bytes: ...

    def decrypt(self, message: bytes) -> bytes: ...

    def commit(self) -> bytes: ...

    def process_own(self, commit: bytes) -> None: ...

    def process(self, commit: bytes) -> None: ...


@dataclass(frozen=True)
class Peer:
    """`commits`: it can make an empty commit."""

    name: str
    module: str
    start: Callable[[], Client]
    commits: bool


def installed() -> list[Peer]:
    """Those that can be imported."""
    return [peer for peer in _PEERS if _is_there(peer)]


def absent() -> list[str]:
    """A line for each that cannot."""
    return [f"not installed, so not measured: {peer.name}" for peer in _PEERS if not _is_there(peer)]


def _is_there(peer: Peer) -> bool:
    try:
        importlib.import_module(peer.module)
    except ImportError:
        return False
    return True


class _Uniffi:
    """agentvault-mls-rs-uniffi: handshake messages are PublicMessages."""

    def __init__(self) -> None:
        self._mls = importlib.import_module("mls_rs_uniffi")
        keys = self._mls.generate_signature_keypair(self._mls.CipherSuite.CURVE25519_AES128)
        self._client = self._mls.Client(os.urandom(16), keys, self._mls.client_config_default())
        self._group: Any = None

    def key_package(self) -> bytes:
        return bytes(self._client.generate_key_package_message().to_bytes())

    def create(self) -> None:
        self._group = self._client.create_group(None)

    def add(self, packages: list[bytes]) -> tuple[bytes, bytes]:
        made = self._group.add_members([self._mls.Message.from_bytes(package) for package in packages])
        commit = made.commit_message.to_bytes()
        self.process(commit)
        return commit, made.welcome_message.to_bytes()

    def join(self, welcome: bytes) -> None:
        self._group = self._client.join_group(None, self._mls.Message.from_bytes(welcome)).group

    def encrypt(self, data: bytes) -> bytes:
        return bytes(self._group.encrypt_application_message(data).to_bytes())

    def decrypt(self, message: bytes) -> bytes:
        return bytes(self._group.process_incoming_message(self._mls.Message.from_bytes(message)).data)

    def commit(self) -> bytes:
        return bytes(self._group.commit().commit_message.to_bytes())

    def process_own(self, commit: bytes) -> None:
        self.process(commit)

    def process(self, commit: bytes) -> None:
        self._group.process_incoming_message(self._mls.Message.from_bytes(commit))


class _Rine:
    """rine-mls: stores its state in files with every step, and has no empty commit."""

    def __init__(self) -> None:
        self._mls = importlib.import_module("rine_mls")
        self._folder = tempfile.mkdtemp(prefix="waypost-bench-")
        self._client = self._mls.MlsClient(self._folder, os.urandom(32), self._mls.CIPHER_SUITE_CLASSICAL)
        self._group: Any = None

    def __del__(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def key_package(self) -> bytes:
        return bytes(self._client.generate_key_package())

    def create(self) -> None:
        self._group = self._client.create_group(os.urandom(16))

    def add(self, packages: list[bytes]) -> tuple[bytes, bytes]:
        made = self._group.add_members(packages)
        return bytes(made.commit), bytes(made.welcomes[0])

    def join(self, welcome: bytes) -> None:
        self._group = self._client.join_from_welcome(welcome)

    def encrypt(self, data: bytes) -> bytes:
        return bytes(self._group.encrypt_application_message(data))

    def decrypt(self, message: bytes) -> bytes:
        return bytes(self._group.decrypt_application_message(message).envelope)

    def commit(self) -> bytes:
        raise NotImplementedError

    def process_own(self, commit: bytes) -> None:
        raise NotImplementedError

    def process(self, commit: bytes) -> None:
        self._group.apply_commit(commit)


_PEERS = (
    Peer("agentvault-mls-rs-uniffi", "mls_rs_uniffi", _Uniffi, commits=True),
    Peer("rine-mls", "rine_mls", _Rine, commits=False),
)
