"""Names in the lab: whoever writes a test says `birdy` and `alice@birdy`."""

from __future__ import annotations

from waypost.errors import Code, LocalError
from waypost.ids import Provider, is_canonical_provider, parse_address


def full_node(name: str) -> Provider:
    """`birdy` is `birdy.local`; a name with a dot stays as it is. Raises LocalError(BAD_CONFIG)."""
    whole = name if "." in name else f"{name}.local"
    if "@" in name or not is_canonical_provider(whole):
        raise LocalError(Code.BAD_CONFIG, f"{name!r} cannot name a node: write lower-case letters, digits and hyphens")
    return Provider(whole)


def full_address(name: str) -> str:
    """`alice@birdy` is `alice@birdy.local`. Raises LocalError(BAD_ADDRESS)."""
    user, at, node = name.rpartition("@")
    if not at:
        raise LocalError(Code.BAD_ADDRESS, f"{name!r}: a user of the lab is written alice@birdy")
    return str(parse_address(f"{user}@{full_node(node)}"))


def full_name(name: str) -> str:
    """Of a node, or of a user."""
    return full_address(name) if "@" in name else full_node(name)


def short(name: str) -> str:
    """The way back, for people: `birdy` and `alice@birdy`."""
    return name.removesuffix(".local")
