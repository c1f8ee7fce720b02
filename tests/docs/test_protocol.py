"""The pages of docs/protocol say what the code does: fields, numbers, bounds, errors, rules."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from scripts.support.docs import PAGES as GENERATED
from tests.docs.pages import PAGES, PROTOCOL, ROOT, Table, cells, expected_rows, tables, text_of

from waypost import limits
from waypost.client.schemes import payload
from waypost.crypto.keys import Purpose
from waypost.errors import Code
from waypost.protocol.custody import envelope
from waypost.protocol.custody import transfer as custody
from waypost.protocol.directory import asks, bundle, invite, record
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames import messages, signed
from waypost.protocol.frames.messages import Message, NoticeKind, Query

MODULES: tuple[ModuleType, ...] = (messages, custody, asks, record, bundle, envelope, invite, signed, payload)
PREFIXES = {"wire.md": "WIRE", "link.md": "LINK", "custody.md": "CUST", "directory.md": "DIR"}

RULE = re.compile(r"\*\*\[([A-Z]+)-(\d+)\]\*\*")
REFERENCE = re.compile(r"\[((?:WIRE|LINK|CUST|DIR)-\d+)\]")
NORMATIVE = re.compile(r"\b(MUST|SHOULD|MAY)\b")
ERROR = re.compile(r"`([a-z]+(?:-[a-z]+)*) \((\d{3})\)`")
#: "1 MiB (`FRAME_MAX_BYTES`)"
QUOTED = re.compile(r"(\d[\d,.]*)(?: ([A-Za-z]+)(?: [a-z-]+)*)? \(`([A-Z][A-Z0-9_]+)`\)")
NAMED = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")
BYTES = {"KiB": 1024, "MiB": 1024**2}
SECONDS = {"second": 1, "seconds": 1, "minutes": 60, "hour": 3_600, "hours": 3_600, "day": 86_400, "days": 86_400}


def structures() -> dict[str, type[msgspec.Struct]]:
    """Everything that is encoded, by name."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            ours = isinstance(value, type) and value.__module__ == module.__name__
            if ours and issubclass(value, msgspec.Struct) and not name.startswith("_"):
                found[name] = value
    return found


def number_of(kind: type[msgspec.Struct]) -> str:
    """As in the heading: `3`, `6.1` for a method, empty for a structure."""
    tag = kind.__struct_config__.tag
    if tag is None:
        return ""
    return str(tag) if kind in get_args(Message) else f"{Query.__struct_config__.tag}.{tag}"


def lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for line in text_of(page).splitlines():
            yield page, line


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_structure_has_its_table_once() -> None:
    assert sorted(table.name for table in tables()) == sorted(structures())


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: table.name)
def test_a_table_is_the_code(table: Table) -> None:
    kind = structures()[table.name]
    assert table.number == number_of(kind)
    assert table.rows == expected_rows(kind)


def test_the_messages_are_in_wire_in_the_order_of_their_numbers() -> None:
    numbers = [table.number for table in tables() if table.page == "wire.md" and table.number.isdigit()]
    assert numbers == [str(kind.__struct_config__.tag) for kind in get_args(Message)]
    assert len([table for table in tables() if "." in table.number]) == len(get_args(Ask))


def test_the_kinds_of_notice_and_the_purposes_are_all_there() -> None:
    rows = [cells(line) for _, line in lines() if line.startswith("|")]
    assert [row[:2] for row in rows if row[1] in NoticeKind.__members__] == [
        [str(kind.value), kind.name] for kind in NoticeKind
    ]
    assert {row[0].strip("`") for row in rows} >= {purpose.value for purpose in Purpose}


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bound_rows() -> list[tuple[str, str]]:
    rows = [cells(line) for _, line in lines() if line.startswith("|")]
    return [(row[0].strip("`"), row[1]) for row in rows if NAMED.fullmatch(row[0])]


def test_every_bound_in_a_table_is_that_of_the_code() -> None:
    rows = bound_rows()
    assert len(rows) > 40
    assert {name: float(value.replace(",", "")) for name, value in rows} == {
        name: getattr(limits, name, None) for name, _ in rows
    }


def quoted() -> list[tuple[str, str, str]]:
    return [found for page in PAGES for found in QUOTED.findall(" ".join(text_of(page).split()))]


def value_of(number: str, unit: str, name: str) -> float:
    """A number with its unit in the prose, in the unit of the bound."""
    value = float(number.replace(",", ""))
    if unit in SECONDS and name.endswith(("_MS", "_S")):
        return value * SECONDS[unit] * (1_000 if name.endswith("_MS") else 1)
    return value * BYTES.get(unit, 1)


def test_every_bound_in_the_prose_is_that_of_the_code() -> None:
    assert len(quoted()) > 25
    wrong = {
        name: (number, unit)
        for number, unit, name in quoted()
        if value_of(number, unit, name) != getattr(limits, name, None)
    }
    assert not wrong


def test_every_bound_that_is_named_exists() -> None:
    assert {name for _, line in lines() for name in NAMED.findall(line) if not hasattr(limits, name)} == set()


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_error_has_its_number() -> None:
    found = {pair for _, line in lines() for pair in ERROR.findall(line)}
    assert len(found) > 40
    assert found <= {(code.label, str(code.number)) for code in Code}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name](), "run scripts/generate-docs"


def test_every_error_is_on_its_page() -> None:
    page = text_of("errors.md")
    assert all(f"| {code.number} | `{code.label}` |" in page for code in Code)


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def rules(page: str) -> list[tuple[str, int]]:
    return [(prefix, int(number)) for prefix, number in RULE.findall(text_of(page))]


@pytest.mark.parametrize("page", PAGES)
def test_rules_have_ids_of_their_own(page: str) -> None:
    found = rules(page)
    assert {prefix for prefix, _ in found} == {PREFIXES[page]}
    numbers = [number for _, number in found]
    assert numbers == sorted(set(numbers))


def test_every_rule_that_is_named_exists() -> None:
    known = {f"{prefix}-{number}" for page in PAGES for prefix, number in rules(page)}
    named = {name for path in PROTOCOL.glob("*.md") for name in REFERENCE.findall(path.read_text(encoding="utf-8"))}
    assert named <= known


def paragraphs(page: str) -> list[str]:
    """List items and blocks; what is indented belongs to the item before it."""
    return re.split(r"\n(?=- |\n(?! ))", text_of(page))


@pytest.mark.parametrize("page", PAGES)
def test_what_must_be_stands_in_a_rule(page: str) -> None:
    loose = [text for text in paragraphs(page) if NORMATIVE.search(text) and not RULE.search(text)]
    assert not loose


# ── the pages ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", PAGES)
def test_a_page_ends_with_its_golden_vectors(page: str) -> None:
    last = text_of(page).split("\n## ")[-1]
    assert last.startswith("Golden vectors\n")
    assert "](../../tests/vectors/" in last


def test_every_golden_file_is_named_on_a_page() -> None:
    text = "".join(map(text_of, PAGES))
    files = {path.name for path in Path(ROOT / "tests" / "vectors").iterdir()}
    assert {name for name in files if f"vectors/{name}" not in text} == set()


def test_the_index_leads_to_every_page() -> None:
    index = text_of("README.md")
    assert all(f"]({path.name})" in index for path in PROTOCOL.glob("*.md") if path.name != "README.md")
