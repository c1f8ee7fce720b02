"""Clients of AWS mls-rs, through two wheels with different interfaces; both know cipher suite 0x0001 alone."""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes
from typing import Any, Final

import pytest
from tests.mls.interop.clients import EMPTY, Client, Refusal, Sent, Wanted

from waypost.mls.base.registry import ContentType
from waypost.mls.objects.framing import PrivateMessage, decode_message


def load(module: str, package: str) -> Any:
    """The wheel's module; skips the test where it is missing."""
    return pytest.importorskip(module, reason=f"{package} is not installed: scripts/interop installs it")


class MlsRs:
    """agentvault-mls-rs-uniffi: handshake messages are public, a commit takes one kind of proposal."""

    def __init__(self, name: str) -> None:
        self._mls = load("mls_rs_uniffi", "agentvault-mls-rs-uniffi")
        self.identity: Final = name.encode()
        keys = self._mls.generate_signature_keypair(self._mls.CipherSuite.CURVE25519_AES128)
        self._client = self._mls.Client(self.identity, keys, self._mls.client_config_default())
        self._group: Any = None
        # The binding cannot make a signing identity from bytes; it hands them out with what members send.
        self._met: dict[bytes, Any] = {}
        self._pending = b""

    @property
    def epoch(self) -> int | None:
        return None

    def key_package(self) -> bytes:
        return bytes(self._client.generate_key_package_message().to_bytes())

    def create(self, group_id: bytes) -> None:
        self._group = self._client.create_group(group_id)

    def join(self, welcome: bytes) -> None:
        self._group = self._client.join_group(None, self._message(welcome)).group

    def commit(self, wanted: Wanted = EMPTY) -> Sent:
        sent = self.prepare(wanted)
        self.merge()
        return sent

    def merge(self) -> None:
        # It recognises its own commit.
        self._process(self._pending)

    def prepare(self, wanted: Wanted = EMPTY) -> Sent:
        if wanted.add and not wanted.remove:
            output = self._group.add_members([self._message(package) for package in wanted.add])
        elif wanted.remove:
            assert not wanted.add, "the binding commits one kind of proposal"
            output = self._group.remove_members([self._met[identity.hex().encode()] for identity in wanted.remove])
        else:
            output = self._group.commit()
        welcome = output.welcome_message
        self._pending = output.commit_message.to_bytes()
        return Sent(self._pending, () if welcome is None else (welcome.to_bytes(),))

    def propose(self, wanted: Wanted) -> bytes:
        if wanted.add:
            (message,) = self._group.propose_add_members([self._message(package) for package in wanted.add])
        else:
            (message,) = self._group.propose_remove_members(
                [self._met[identity.hex().encode()] for identity in wanted.remove]
            )
        return bytes(message.to_bytes())

    def hear(self, message: bytes) -> bytes | None:
        received = self._process(message)
        if not received.is_application_message():
            return None
        # Members begin with their identity, see `Room.say`.
        self._met[received.data.partition(b":")[0]] = received.sender
        return bytes(received.data)

    def encrypt(self, data: bytes) -> bytes:
        return bytes(self._group.encrypt_application_message(data).to_bytes())

    def export(self, label: bytes, context: bytes, length: int) -> bytes | None:
        return bytes(self._group.export_secret(label, context, length))

    def _message(self, data: bytes) -> Any:
        return self._mls.Message.from_bytes(data)

    def _process(self, message: bytes) -> Any:
        try:
            return self._group.process_incoming_message(self._message(message))
        except self._mls.Error as error:
            raise Refusal(str(error)) from error


class RineMls:
    """rine-mls: one byte before application messages, identity = signature key, no exporter, no empty commit."""

    def __init__(self, folder: Path) -> None:
        self._mls = load("rine_mls", "rine-mls")
        self._client = self._mls.MlsClient(str(folder), token_bytes(32), self._mls.CIPHER_SUITE_CLASSICAL)
        self._tag: Final = bytes([self._mls.APP_MESSAGE_TAG])
        self.identity: Final = bytes(self._client.public_key())
        self._group: Any = None

    @property
    def epoch(self) -> int | None:
        return int(self._group.epoch())

    def key_package(self) -> bytes:
        return bytes(self._client.generate_key_package())

    def create(self, group_id: bytes) -> None:
        self._group = self._client.create_group(group_id)

    def join(self, welcome: bytes) -> None:
        self._group = self._client.join_from_welcome(welcome)

    def commit(self, wanted: Wanted = EMPTY) -> Sent:
        if wanted.add and not wanted.remove:
            bundle = self._group.add_members(list(wanted.add))
        else:
            (identity,) = wanted.remove
            bundle = self._group.remove_member(self._group.member_index(identity))
        return Sent(bytes(bundle.commit), tuple(map(bytes, bundle.welcomes)))

    def hear(self, message: bytes) -> bytes | None:
        try:
            if _is_application(message):
                return bytes(self._group.decrypt_application_message(self._tag + message).envelope)
            self._group.apply_commit(message)
        except self._mls.RineMlsError as error:
            raise Refusal(str(error)) from error
        return None

    def encrypt(self, data: bytes) -> bytes:
        payload = bytes(self._group.encrypt_application_message(data))
        assert payload[:1] == self._tag
        return payload[1:]

    def export(self, label: bytes, context: bytes, length: int) -> bytes | None:
        return None

    def group_info(self) -> bytes:
        return bytes(self._group.group_info())

    def join_externally(self, group_info: bytes, resync: Client | None = None) -> bytes:
        assert resync is None, "the test does not need it"
        self._group = self._client.join_by_external_commit(group_info)
        return bytes(self._group.last_commit().commit)


def _is_application(message: bytes) -> bool:
    body = decode_message(message)
    return isinstance(body, PrivateMessage) and body.content_type is ContentType.APPLICATION
