import hashlib

from waypost.crypto.fingerprint import _half, fingerprint, grouped, node_fingerprint, safety_number

A, B = bytes(range(32)), bytes(range(32, 64))


def test_half_is_signals_number() -> None:
    # The published numbers of libsignal's own fingerprint test.
    alice = bytes.fromhex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")
    bob = bytes.fromhex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")
    halves = [_half(alice, b"+14152222222"), _half(bob, b"+14153333333")]
    assert "".join(halves) == "300354477692869396892869876765458257569162576843440918079131"


def test_fingerprint_never_equals_that_of_a_curve25519_key() -> None:
    assert fingerprint(A, b"a@birdy.example") != _half(b"\x05" + A, b"a@birdy.example")


def test_both_sides_see_one_safety_number() -> None:
    mine = safety_number(A, b"a@birdy.example", B, b"b@finch.example")
    theirs = safety_number(B, b"b@finch.example", A, b"a@birdy.example")
    assert mine == theirs
    assert len(mine) == 60
    assert mine.isdigit()
    assert {mine[:30], mine[30:]} == {fingerprint(A, b"a@birdy.example"), fingerprint(B, b"b@finch.example")}


def test_safety_number_changes_with_each_part() -> None:
    numbers = {
        safety_number(A, b"a@birdy.example", B, b"b@finch.example"),
        safety_number(A, b"a@birdy.example", A, b"b@finch.example"),
        safety_number(A, b"a@birdy.example", B, b"c@finch.example"),
        safety_number(A, b"b@finch.example", B, b"a@birdy.example"),
    }
    assert len(numbers) == 4


def test_node_fingerprint_is_twelve_groups_and_depends_on_key_and_name() -> None:
    shown = node_fingerprint(A, "birdy.local")
    assert [len(group) for group in shown.split(" ")] == [5] * 12
    assert shown.replace(" ", "").isdigit()
    assert len({shown, node_fingerprint(B, "birdy.local"), node_fingerprint(A, "finch.local")}) == 3


def test_node_fingerprint_as_documented() -> None:
    digest = b"waypost/1 node fingerprint\0" + A + b"birdy.local"
    for _ in range(5_200):
        digest = hashlib.sha512(digest + A).digest()
    groups = [f"{int.from_bytes(digest[i : i + 5], 'big') % 100_000:05}" for i in range(0, 60, 5)]
    assert node_fingerprint(A, "birdy.local") == " ".join(groups)


def test_grouped() -> None:
    assert grouped("012345678901234") == "01234 56789 01234"
