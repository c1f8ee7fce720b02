"""Invites: text that people copy, and what copying does to it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.strategies import values

from waypost.errors import Code, LocalError
from waypost.limits import RECORD_ENDPOINTS_MAX
from waypost.protocol.directory.invite import Invite, invite_text, parse_invite, token_hash
from waypost.protocol.directory.record import RecordEndpoint

INVITE = Invite(1, "bob@finch.example", b"t" * 16, b"k" * 32, (RecordEndpoint("192.0.2.7", 7711),), 1_800_000_000_000)


def code_of(text: str) -> Code:
    with pytest.raises(LocalError) as error:
        parse_invite(text)
    return error.value.code


@given(values(Invite))
def test_an_invite_survives_the_way_through_text(invite: Invite) -> None:
    text = invite_text(invite)
    assert text.startswith("waypost:")
    assert text.isascii()
    assert parse_invite(text) == invite


def test_a_line_that_was_wrapped_or_indented_is_forgiven() -> None:
    text = invite_text(INVITE)
    assert parse_invite(f"  {text[:30]}\r\n\t{text[30:70]}\n {text[70:]} \n") == INVITE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "waypost:",
        "waypost",
        "https://finch.example/invite",
        "waypost:%%%",
        "waypost:AAAA",
        "WAYPOST:AAAA",
        "wäypost:",
    ],
)
def test_what_is_no_invite_says_so(text: str) -> None:
    assert code_of(text) is Code.BAD_INVITE


def test_an_invite_cut_short_says_so() -> None:
    text = invite_text(INVITE)
    for end in range(len(text)):
        assert code_of(text[:end]) is Code.BAD_INVITE


@given(st.text(max_size=80))
def test_whatever_was_pasted_only_one_error_comes_out(text: str) -> None:
    assert code_of("waypost:" + text) is Code.BAD_INVITE


def test_an_invite_has_one_to_eight_endpoints() -> None:
    for count in (0, RECORD_ENDPOINTS_MAX + 1):
        wrong = msgspec.structs.replace(INVITE, endpoints=(RecordEndpoint("h", 1),) * count)
        assert code_of(invite_text(wrong)) is Code.BAD_INVITE


def test_a_version_to_come_is_not_guessed_at() -> None:
    assert code_of(invite_text(msgspec.structs.replace(INVITE, version=2))) is Code.BAD_INVITE


def test_a_token_is_stored_as_a_hash_of_its_own_kind() -> None:
    from hashlib import blake2b

    assert token_hash(b"t" * 16) == token_hash(b"t" * 16) != token_hash(b"u" * 16)
    assert len(token_hash(b"t" * 16)) == 32
    assert token_hash(b"t" * 16) != blake2b(b"t" * 16, digest_size=32).digest()
