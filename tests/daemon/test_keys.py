"""A key of the configuration is written in three places at most: its default, its type and text, and its use."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import waypost
from waypost.daemon.config import LimitsConfig
from waypost.daemon.plan import LIMITS
from waypost.daemon.template import template
from waypost.ids import Provider

(ROOT,) = map(Path, waypost.__path__)
KEYS = [field for kind in LIMITS for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.encode_name)
def test_a_key_is_written_in_three_places_at_most(key: msgspec.structs.FieldInfo) -> None:
    word = re.compile(rf"\b({key.encode_name}|{key.encode_name.upper()}|{key.name})\b")
    found = [
        path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*.py")) if word.search(path.read_text("utf-8"))
    ]
    assert 2 <= len(found) <= 3, found


def test_the_file_its_check_and_its_template_have_the_same_keys() -> None:
    names = [key.encode_name for key in KEYS]
    assert list(LimitsConfig.model_fields) == names
    _, _, section = template(Provider("birdy.example")).partition("[limits]\n")
    shown = re.findall(r"^# (\w+) = ", section.partition("\n[")[0], re.MULTILINE)
    assert shown == names
    assert LimitsConfig().model_dump() == {key.encode_name: key.default for key in KEYS}
