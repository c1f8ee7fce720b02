"""Who appears in the golden files: fixed keys, so that another implementation makes the same bytes."""

from waypost.crypto.kem import KemKey
from waypost.crypto.keys import SigningKey

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
ALICE, BOB = "alice@birdy.example", "bob@finch.example"
BIRDY, FINCH = "birdy.example", "finch.example"


def _key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


BIRDY_NODE, FINCH_NODE, FINCH_NEW_NODE = _key(1), _key(2), _key(3)
ALICE_IDENTITY, ALICE_PHONE = _key(4), _key(5)
BOB_IDENTITY, BOB_PHONE, BOB_LAPTOP = _key(6), _key(7), _key(8)
BOB_PHONE_KEM, BOB_LAPTOP_KEM = KemKey(bytes([17]) * 32), KemKey(bytes([18]) * 32)
REQUEST, UPLOAD, TOKEN = bytes([33]) * 16, bytes([34]) * 16, bytes([35]) * 16


def cast() -> dict[str, dict[str, str]]:
    """Each file begins with it."""
    signing = {
        "node of birdy.example": BIRDY_NODE,
        "node of finch.example": FINCH_NODE,
        "node of finch.example, its next key": FINCH_NEW_NODE,
        "identity of alice@birdy.example": ALICE_IDENTITY,
        "device of alice@birdy.example": ALICE_PHONE,
        "identity of bob@finch.example": BOB_IDENTITY,
        "device of bob@finch.example, phone": BOB_PHONE,
        "device of bob@finch.example, laptop": BOB_LAPTOP,
    }
    return {name: {"seed": key.seed.hex(), "public": key.public.hex()} for name, key in signing.items()}
