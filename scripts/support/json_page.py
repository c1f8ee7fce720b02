"""docs/json.md: what `--json` prints, from the structs that it is made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from msgspec import Struct, UnsetType
from msgspec import inspect as types

from waypost.cli.shapes import SHAPES, VerbFailed
from waypost_lab.box.answers import SHAPES as LAB_SHAPES

_HEAD = """# What `--json` prints

Generated from `protocol/operator.py` and `cli/shapes.py` of `waypost` and `box/answers.py` of `waypost_lab` by
`scripts/generate-docs`; do not edit.

One object, in one line; `status --watch` and `inbox` print one for each line. Names and meanings stay as they are; a
newer version may add fields. With an exit code other than 0 it may be a [VerbFailed](#verbfailed) instead; `check` and
`send` print their own object then too. What is not listed of `waypost lab` prints a summary of its run: see
[lab.md](lab.md), [scenarios.md](scenarios.md), [simulation.md](simulation.md) and [conformance.md](conformance.md).

What ends in `_ms` is milliseconds since 1970, 0 for never; in `_s` seconds; in `bytes` bytes. All other numbers are
counts, where nothing else is said.
"""
_UNITS = {"_ms": "ms since 1970", "_per_s": "a second", "_s": "s", "bytes": "bytes"}
_COMMENT = re.compile(r"^ {4}(\w+): [^#\n]*?(?:  #: (.*))?$", re.MULTILINE)


def json_page() -> str:
    """The whole page."""
    every: dict[str, tuple[type[Struct], ...]] = {**SHAPES, **{verb: (shape,) for verb, shape in LAB_SHAPES.items()}}
    rows = [f"| `{verb}` | {' or '.join(map(_link, shapes))} |" for verb, shapes in every.items()]
    parts = [_HEAD, "\n| verb | object |\n|---|---|\n", "\n".join(rows), "\n"]
    kinds = [shape for shapes in every.values() for shape in shapes]
    return "".join([*parts, *map(_section, _with_parts([*kinds, VerbFailed]))])


def _with_parts(kinds: list[type[Struct]]) -> Iterator[type[Struct]]:
    """Each once, before what it is made of."""
    seen: list[type[Struct]] = []
    for kind in kinds:
        if kind not in seen:
            seen.append(kind)
            kinds += [part for field in types.type_info(kind).fields for part in _structs(field.type)]  # type: ignore[attr-defined]
    yield from sorted(seen, key=lambda kind: kind.__name__)


def _structs(kind: types.Type) -> list[type[Struct]]:
    match kind:
        case types.StructType(cls=found):
            return [found]
        case types.VarTupleType(item_type=item):
            return _structs(item)
        case _:
            return []


def _section(kind: type[Struct]) -> str:
    said, hints = _comments(kind), get_type_hints(kind)
    about = f"{inspect.getdoc(kind)}\n\n" if kind.__doc__ else ""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    rows = []
    for field in info.fields:
        unit = next((unit for end, unit in _UNITS.items() if field.name.endswith(end)), "")
        missing = "may be missing" if UnsetType in get_args(hints[field.name]) else ""
        meaning = "; ".join(filter(None, (said.get(field.name, ""), unit, missing)))
        rows.append(f"| `{field.encode_name}` | {_words(field.type)} | {meaning} |\n")
    return f"\n## {kind.__name__}\n\n{about}| field | type | |\n|---|---|---|\n{''.join(rows)}"


def _comments(kind: type[Struct]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, Struct) and each.__module__.startswith("waypost"):
            found |= {name: text for name, text in _COMMENT.findall(inspect.getsource(each)) if text}
    return found


def _words(kind: types.Type) -> str:
    match kind:
        case types.StrType():
            return "text"
        case types.IntType():
            return "whole number"
        case types.FloatType():
            return "number"
        case types.BoolType():
            return "true or false"
        case types.EnumType(cls=words):
            return ", ".join(f"`{word.value}`" if word.value else "empty" for word in words)
        case types.StructType(cls=found):
            return _link(found)
        case types.VarTupleType(item_type=item):
            return f"list of {_words(item)}"
        case types.UnionType(types=several):
            return " or ".join(_words(each) for each in several if not isinstance(each, types.CustomType))
        case types.NoneType():
            return "null"
        case _:
            raise TypeError(f"no words for {kind}")


def _link(kind: type[Struct]) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"
