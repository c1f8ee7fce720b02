"""Bytes that are no encoding (RFC 9420 §2.1): cut, too long, longer than they need be. Only `MlsError` comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from scripts.support.mls.members import NOW, Seeded, bundle, content, signer
from tests.mls.world import PUBLIC, World, forge, refused

from waypost.mls.base.bounds import MESSAGE_MAX_BYTES
from waypost.mls.base.codec import Reader
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import WireFormat
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.key_package import KeyPackageBundle
from waypost.mls.objects.proposals import Add, Remove
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.steps.sending import Framing

WORLD = World("alice", "bob", "carol")
ALICE, BOB, _ = WORLD.groups.values()
DAVE = bundle("dave", WORLD.random)
_, PENDING = Group.load(ALICE.state()).commit(
    WORLD.random, NOW, CommitOptions((Add(DAVE.key_package),), framing=PUBLIC)
)


def from_outside(info: bytes) -> object:
    return join_by_external_commit(info, ExternalJoinOptions(content("eve"), signer("eve")), Seeded(), NOW)


@dataclass(frozen=True)
class Sample:
    message: bytes
    read: Callable[[bytes], object]


SAMPLES = {
    "data": Sample(forge(ALICE, b"data", Framing()), lambda data: BOB.process(data, NOW)),
    "proposal": Sample(forge(ALICE, Remove(2)), lambda data: BOB.process(data, NOW)),
    "add": Sample(forge(ALICE, Add(DAVE.key_package)), lambda data: BOB.process(data, NOW)),
    "commit": Sample(PENDING.message, lambda data: BOB.process(data, NOW)),
    "private commit": Sample(forge(ALICE, Commit((), None), Framing()), lambda data: BOB.process(data, NOW)),
    "welcome": Sample(PENDING.welcomes[0].message, lambda data: Group.join(data, DAVE)),
    "group info": Sample(ALICE.group_info(), from_outside),
    "tree": Sample(PENDING.tree, lambda data: Group.join(PENDING.welcomes[0].message, DAVE, JoinOptions(tree=data))),
    "key package": Sample(DAVE.key_package.message(), decode_message),
    "bundle": Sample(DAVE.serialize(), KeyPackageBundle.restore),
}
NAMES = [name for name in SAMPLES if name != "tree"]


@pytest.mark.parametrize("name", NAMES)
def test_every_beginning_is_cut_short(name: str) -> None:
    sample = SAMPLES[name]
    for end in range(len(sample.message)):
        with pytest.raises(MlsError) as caught:
            sample.read(sample.message[:end])
        assert caught.value.fault in (MlsFault.TRUNCATED, MlsFault.VECTOR_NOT_WHOLE), end


@pytest.mark.parametrize("name", NAMES)
def test_nothing_follows_the_end(name: str) -> None:
    sample = SAMPLES[name]
    for more in (b"\0", b"\1", sample.message):
        refused(partial(sample.read, sample.message + more), MlsFault.TRAILING_BYTES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
def test_a_message_beyond_the_bound(name: str) -> None:
    sample = SAMPLES[name]
    refused(lambda: sample.read(sample.message.ljust(MESSAGE_MAX_BYTES + 1, b"\0")), MlsFault.TOO_LARGE)


def headers_of(message: bytes, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Where the length headers of a message are."""
    found: list[tuple[int, int]] = []
    right = Reader.varint

    def varint(self: Reader) -> int:
        start = self.position
        value = right(self)
        found.append((start, self.position - start))
        return value

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "varint", varint)
        # The real one does without `varint` where the length is of one byte.
        patch.setattr(Reader, "opaque", lambda self: self.raw(varint(self)))
        decode_message(message)
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
def test_every_length_is_in_its_shortest_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SAMPLES[name]
    headers = headers_of(sample.message, monkeypatch)
    assert len(headers) > 2
    for start, size in headers:
        value = int.from_bytes(sample.message[start : start + size], "big") & (2 ** (8 * size - 2) - 1)
        for longer, prefix in ((2, 0x4000), (4, 0x8000_0000)):
            if longer > size:
                header = (value | prefix).to_bytes(longer, "big")
                spoilt = sample.message[:start] + header + sample.message[start + size :]
                with pytest.raises(MlsError) as caught:
                    sample.read(spoilt)
                # A vector around this one is longer now; where that is noticed first, it is cut.
                assert caught.value.fault in (
                    MlsFault.VARINT_NOT_MINIMAL,
                    MlsFault.TRUNCATED,
                    MlsFault.VECTOR_NOT_WHOLE,
                )
        invalid = sample.message[:start] + b"\xc0" + sample.message[start + 1 :]
        refused(partial(decode_message, invalid), MlsFault.VARINT_INVALID)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
def test_a_length_of_a_gigabyte_is_cut_short_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SAMPLES[name]
    for start, size in headers_of(sample.message, monkeypatch):
        spoilt = sample.message[:start] + b"\xbf\xff\xff\xff" + sample.message[start + size :]
        refused(partial(decode_message, spoilt), MlsFault.TRUNCATED)


def test_wire_formats_and_versions() -> None:
    for name in NAMES[:-1]:
        sample = SAMPLES[name]
        for version in (0, 2, 0x0A0A, 0xFFFF):
            spoilt = version.to_bytes(2, "big") + sample.message[2:]
            refused(partial(sample.read, spoilt), MlsFault.WRONG_VERSION)
        for unknown in (0, 6, 0x0A0A, 0xFFFF):
            spoilt = sample.message[:2] + unknown.to_bytes(2, "big") + sample.message[4:]
            refused(partial(sample.read, spoilt), MlsFault.UNKNOWN_ENUM)
        for other in WireFormat:
            if other != int.from_bytes(sample.message[2:4], "big"):
                with pytest.raises(MlsError):
                    sample.read(sample.message[:2] + other.to_bytes(2, "big") + sample.message[4:])


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("key package", "bundle", "tree")])
def test_every_flipped_bit_is_noticed(name: str) -> None:
    sample = SAMPLES[name]
    for position in range(0, len(sample.message), max(1, len(sample.message) // 150)):
        spoilt = bytearray(sample.message)
        spoilt[position] ^= 1 << (position % 8)
        with pytest.raises(MlsError):
            sample.read(bytes(spoilt))
