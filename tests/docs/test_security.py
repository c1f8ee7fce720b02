"""What docs/security.md names as holding a claim is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_file_and_limit_that_is_named_exists() -> None:
    limits = (ROOT / "node" / "waypost" / "limits.py").read_text(encoding="utf-8")
    assert [path for path in re.findall(r"`(node/[\w/]+\.py)`", PAGE) if not (ROOT / path).is_file()] == []
    assert [name for name in re.findall(r"`([A-Z_]{6,})`", PAGE) if f"\n{name} = " not in limits] == []
