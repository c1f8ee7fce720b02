"""docs/json.md has every verb, every object and every field; tests/cli holds what is printed to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from msgspec import Struct
from msgspec.inspect import StructType, type_info

from waypost.cli.main import VERBS
from waypost.cli.shapes import SHAPES, VerbFailed
from waypost.protocol.operator import answer_type
from waypost_lab.box import answers, control
from waypost_lab.cli import VERBS as LAB_VERBS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


EVERY: dict[str, tuple[type[Struct], ...]] = {**SHAPES, **{verb: (shape,) for verb, shape in answers.SHAPES.items()}}


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
    for name, shapes in EVERY.items():
        [line] = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE.partition("\n## ")[0], re.MULTILINE)
        assert re.findall(r"\[(\w+)\]", line) == [shape.__name__ for shape in shapes]


def test_verbs_of_a_running_lab_are_listed() -> None:
    assert set(answers.SHAPES) <= {f"lab {verb.name}" for verb in LAB_VERBS}
    assert set(answers.SHAPES.values()) | {answers.LabEnds} == {
        answer_type(request) for request in get_args(control.Request)
    }


@pytest.mark.parametrize("shape", sorted({*sum(EVERY.values(), ()), VerbFailed}, key=str), ids=lambda one: one.__name__)
def test_every_field_is_listed_and_no_other(shape: type[Struct]) -> None:
    _, _, rest = PAGE.partition(f"\n## {shape.__name__}\n")
    info = type_info(shape)
    assert isinstance(info, StructType)
    listed = re.findall(r"^\| `(\w+)` \| \S", rest.partition("\n## ")[0], re.MULTILINE)
    assert listed == [field.encode_name for field in info.fields]
