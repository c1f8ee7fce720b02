"""A scheme is behind an interface: whoever writes and reads knows none by name."""

from pathlib import Path

import waypost.client

CLIENT = Path(waypost.client.__file__).parent


def test_a_suite_is_known_by_name_among_the_schemes_alone() -> None:
    names = ("seal.1", "seal1", "crypto.seal", "SUITE")
    told = {
        path.relative_to(CLIENT).parts[0]: name
        for path in CLIENT.rglob("*.py")
        for name in names
        if name in path.read_text(encoding="utf-8")
    }
    assert set(told) == {"schemes"}
