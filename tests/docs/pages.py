"""What the pages of docs/protocol say, taken apart, to be compared with the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "docs" / "protocol"
PAGES = ("wire.md", "link.md", "custody.md", "directory.md")

_HEADING = re.compile(r"^### (?P<number>[0-9.]* ?)· (?P<name>[A-Za-z]+)$")


class Row(NamedTuple):
    """A field as its table has it."""

    position: str
    name: str
    type: str
    default: str


class Table(NamedTuple):
    """The fields under a heading such as `### 3 · Offer`; `number` empty for a structure without type number."""

    page: str
    number: str
    name: str
    rows: tuple[Row, ...]


def text_of(page: str) -> str:
    return (PROTOCOL / page).read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables() -> Iterator[Table]:
    """Every field table of the protocol's pages."""
    for page in PAGES:
        lines = text_of(page).splitlines()
        for at, line in enumerate(lines):
            if match := _HEADING.match(line):
                yield Table(page, match["number"].strip(), match["name"], tuple(_rows(lines[at + 1 :])))


def _rows(lines: list[str]) -> Iterator[Row]:
    """The rows of the first table."""
    begun = False
    for line in lines:
        if line.startswith("|"):
            begun = True
            position, name, kind, default, _ = cells(line)
            if position.isdigit():
                yield Row(position, name.strip("`"), kind, default.strip("`"))
        elif begun or line.startswith("#"):
            return


def expected_rows(kind: type[msgspec.Struct]) -> tuple[Row, ...]:
    """What the table of a structure must say."""
    fields = _struct(kind).fields
    first = 0 if kind.__struct_config__.tag is None else 1
    return tuple(
        Row(str(at), field.name.rstrip("_"), type_text(field.type), _default(field))
        for at, field in enumerate(fields, start=first)
    )


def _struct(kind: type[msgspec.Struct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _default(field: inspect.Field) -> str:
    if field.required:
        return ""
    value = msgspec.to_builtins(field.default, builtin_types=(bytes,))
    return {"": "empty", b"": "empty", (): "empty"}.get(tuple(value) if value == [] else value, str(value))


def type_text(of: inspect.Type) -> str:
    """A type in the words of wire.md."""
    match of:
        case inspect.IntType():
            return _integer(of)
        case inspect.BoolType():
            return "bool"
        case inspect.EnumType():
            return "enum " + ", ".join(str(member.value) for member in of.cls)
        case inspect.StrType():
            return f"str {_range(of)}"
        case inspect.BytesType():
            return f"bin {_range(of)}"
        case inspect.VarTupleType():
            return f"array {_range(of)} of {type_text(of.item_type)}"
        case inspect.StructType():
            return of.cls.__name__
        case inspect.UnionType():
            return " / ".join(map(type_text, of.types))
        case _:
            raise TypeError(f"no words for {of}")


def _integer(of: inspect.IntType) -> str:
    high: Any = of.le if of.le is not None else (of.lt or 0) - 1
    for bits in (16, 32, 53):
        if of.ge == 0 and high == 2**bits - 1:
            return f"u{bits}"
    return f"int {high:,}" if of.ge == high else f"int {of.ge:,}–{high:,}"


def _range(of: inspect.StrType | inspect.BytesType | inspect.VarTupleType) -> str:
    low, high = of.min_length or 0, of.max_length
    return f"{high:,}" if low == high else f"{low:,}–{high:,}"
