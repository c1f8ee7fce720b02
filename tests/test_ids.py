import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.errors import Code, LocalError
from waypost.ids import (
    Address,
    id_text,
    is_canonical_provider,
    is_canonical_user,
    is_lan,
    parse_address,
    parse_id,
    parse_provider,
    parse_user,
)
from waypost.limits import PROVIDER_MAX_CHARS, USER_MAX_CHARS

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("birdy.example", "birdy.example"),
        (" Birdy.EXAMPLE. ", "birdy.example"),
        ("finch.local", "finch.local"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("a-b.c1.example", "a-b.c1.example"),
        (LONGEST, LONGEST),
    ],
)
def test_provider_becomes_canonical(text: str, canonical: str) -> None:
    assert parse_provider(text) == canonical
    assert is_canonical_provider(canonical)
    assert is_canonical_provider(text) == (text == canonical)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "birdy",
        "birdy..example",
        ".example",
        "-birdy.example",
        "birdy-.example",
        "bir dy.example",
        "bir/dy.example",
        "birdy.example:443",
        "a@birdy.example",
        "birdy.example\n.example",
        "birdy\0.example",
        "a" * 64 + ".example",
        LONGEST + "d",
        "\ud800.example",
        "\u200b.example",
        "xn--bücher.example",
    ],
)
def test_bad_provider(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_provider(text)
    assert caught.value.code is Code.BAD_ADDRESS
    assert not is_canonical_provider(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("bob", "bob"),
        ("Bob", "bob"),
        ("BOB.Smith+news", "bob.smith+news"),
        ("Jürgen", "jürgen"),
        ("ju\u0308rgen", "jürgen"),
        ("\uff42ob", "bob"),  # full-width b (RFC 8265 §3.3.2)
        ("u" * USER_MAX_CHARS, "u" * USER_MAX_CHARS),
    ],
)
def test_user_becomes_canonical(text: str, canonical: str) -> None:
    assert parse_user(text) == canonical
    assert is_canonical_user(canonical)
    assert is_canonical_user(text) == (text == canonical)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a@b", "a/b", "a\n", "a\0", "u" * (USER_MAX_CHARS + 1), "\ud800", "\u200b", "\u202ebob"]
)
def test_bad_user(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_user(text)
    assert caught.value.code is Code.BAD_ADDRESS
    assert not is_canonical_user(text)


@given(st.text(max_size=80))
def test_any_text_is_a_stable_user_or_a_local_error(text: str) -> None:
    try:
        user = parse_user(text)
    except LocalError:
        return
    assert parse_user(user) == user
    assert 1 <= len(user) <= USER_MAX_CHARS


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9_.ü-]{1,30}", fullmatch=True))
def test_any_text_is_a_stable_provider_or_a_local_error(text: str) -> None:
    try:
        provider = parse_provider(text)
    except LocalError:
        return
    assert parse_provider(provider) == provider
    assert provider.isascii()
    assert len(provider) <= PROVIDER_MAX_CHARS


def test_address() -> None:
    address = parse_address(" Bob@Finch.Example ")
    assert address == Address(parse_user("bob"), parse_provider("finch.example"))
    assert str(address) == "bob@finch.example"
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "bob", "@finch.example", "bob@", "bob@finch", "a@b@finch.example", "b ob@finch.example"]
)
def test_bad_address(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_address(text)
    assert caught.value.code is Code.BAD_ADDRESS


def test_lan_names_end_in_local() -> None:
    assert is_lan(parse_provider("finch.local"))
    assert not is_lan(parse_provider("finch.example"))
    assert not is_lan(parse_provider("local.example"))


@given(st.binary(min_size=16, max_size=16))
def test_id_round_trip(envelope_id: bytes) -> None:
    assert parse_id(id_text(envelope_id)) == envelope_id
    assert parse_id(f" {id_text(envelope_id).upper()}\n") == envelope_id


@pytest.mark.parametrize("text", ["", "ab", "0" * 31, "0" * 33, "g" * 32, "0 " * 16, "\u0660" * 32])
def test_bad_id(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_id(text)
    assert caught.value.code is Code.UNKNOWN_MESSAGE
