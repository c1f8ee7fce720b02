"""What docs/operating.md lists is what the code has."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from waypost import limits
from waypost.cli.outcome import Exit
from waypost.daemon.config import Config, parse
from waypost.discovery.txt import dns_value, parse_dns_values
from waypost.errors import code_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "node" / "waypost").rglob("*.py"))


def section(title: str) -> str:
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in it, without their headings."""
    lines = text.splitlines()
    kept = [
        line
        for line, following in pairwise([*lines, ""])
        if line.startswith("|") and not line.startswith("|--") and not following.startswith("|--")
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in kept]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)), None)
        if inner is None:
            yield prefix + name
        else:
            yield from keys(inner, f"{prefix}{name}{'[]' if inner is not field.annotation else ''}.")


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__.endswith("Config")


def documented() -> dict[str, str]:
    return {row[0].strip("`"): row[1] for row in rows(section("Configuration")) if row[0].startswith("`")}


def test_every_key_is_listed_and_no_other() -> None:
    assert list(documented()) == list(keys(Config))


@pytest.mark.parametrize("name", ["birdy.example", "birdy.local"])
def test_defaults_are_those_of_the_code(name: str) -> None:
    config = parse(f'name = "{name}"', Path("waypost.toml"))
    effective = {
        "policy": config.peer_policy,
        "reach": config.default_reach,
        "mdns.enabled": config.uses_mdns,
        "announce": config.announce,
        "switch_interval": config.switch_interval,
        **{f"limits.{key}": value for key, value in config.limits.model_dump().items()},
        **{f"log.{key}": value for key, value in config.log.model_dump().items()},
    }
    checked = set()
    for key, shown in documented().items():
        if shown and key != "listen":
            ordinary, _, lan = shown.partition("; `.local`: ")
            text = lan if lan and name.endswith(".local") else ordinary
            assert tomllib.loads(f"x = {text.strip('`')}")["x"] == effective[key], key
            checked.add(key)
    assert checked == set(effective)
    assert documented()["listen"] == f'`["0.0.0.0:{limits.DEFAULT_PORT}", "[::]:{limits.DEFAULT_PORT}"]`'


def test_examples_of_configuration_hold() -> None:
    for block in re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        parse(f'name = "finch.example"\n{block}', Path("waypost.toml"))


def test_the_dns_record_is_one_that_nodes_read() -> None:
    (value,) = re.findall(r'TXT +"(.+)"', PAGE)
    key = parse_dns_values([value.encode()])
    assert key is not None
    assert dns_value(key) == value


def test_exit_codes() -> None:
    assert [int(row[0]) for row in rows(section("Exit codes"))] == [int(each) for each in Exit]


def test_log_lines_are_those_of_the_code() -> None:
    text = section("Monitoring").partition("### Log")[2]
    prose = " ".join(text.split())
    ordinary = re.findall(r"`([^`]+)`", prose.partition("`info`:")[2].partition("The others")[0])
    others = [line for row in rows(text) for line in re.findall(r"`([^`]+)`", row[0])]
    assert len(ordinary) == 11
    assert len(others) > 10
    for line in ordinary + others:
        assert f'"{line}"' in SOURCES, line


def test_limits_have_the_names_of_the_code() -> None:
    names = re.findall(r"`([A-Z_]{4,})`", section("Limits"))
    assert len(names) > 10
    assert [name for name in names if not hasattr(limits, name)] == []


def test_numbers_in_the_troubleshooting_table_are_errors() -> None:
    numbers = [
        int(number)
        for number in re.findall(r"\b([1-5]\d\d)\b", " ".join(row[0] for row in rows(section("Troubleshooting"))))
    ]
    assert len(numbers) > 15
    assert all(code_of(number) for number in numbers)
