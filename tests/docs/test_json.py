"""docs/json.md has every verb, every object and every field; tests/cli holds what is printed to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec import Struct
from msgspec.inspect import StructType, type_info

from waypost.cli.main import VERBS
from waypost.cli.shapes import SHAPES, VerbFailed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


def verbs() -> Iterator[tuple[str, Any]]:
    """Each verb of the product with what it runs; a group that runs without one of its own, too."""
    for verb in VERBS:
        found = verb.load()
        if not isinstance(found, typer.Typer):
            yield verb.name, found
            continue
        if found.registered_callback is not None:
            yield verb.name, found.registered_callback.callback
        yield from ((f"{verb.name} {info.name}", info.callback) for info in found.registered_commands)


def test_every_verb_that_takes_json_has_its_object() -> None:
    assert set(SHAPES) == {name for name, function in verbs() if "json" in function.__annotations__}
    for name, shapes in SHAPES.items():
        [line] = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE.partition("\n## ")[0], re.MULTILINE)
        assert re.findall(r"\[(\w+)\]", line) == [shape.__name__ for shape in shapes]


@pytest.mark.parametrize(
    "shape", {*(one for some in SHAPES.values() for one in some), VerbFailed}, ids=lambda one: one.__name__
)
def test_every_field_is_listed_and_no_other(shape: type[Struct]) -> None:
    _, _, rest = PAGE.partition(f"\n## {shape.__name__}\n")
    info = type_info(shape)
    assert isinstance(info, StructType)
    listed = re.findall(r"^\| `(\w+)` \| \S", rest.partition("\n## ")[0], re.MULTILINE)
    assert listed == [field.encode_name for field in info.fields]
