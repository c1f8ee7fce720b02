"""What docs/lab.md lists is what the code has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from waypost.daemon.config import Section
from waypost_lab.book import Book
from waypost_lab.box import plan
from waypost_lab.box.plan import LabFile, PlannedTraffic
from waypost_lab.box.traffic import account
from waypost_lab.cli import VERBS
from waypost_lab.ways import LATENCY_MAX_S, LOSSES_MAX, RETRANSMIT_MIN_S, Way

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "lab.md").read_text(encoding="utf-8")
#: As in waypost.toml, where their keys are listed.
ELSEWHERE = ("limits", "log")


def part(title: str) -> str:
    _, _, rest = PAGE.partition(f"\n### {title}\n")
    return re.split(r"\n##", rest)[0]


def listed(title: str) -> list[str]:
    """The names in the first cells of its table."""
    cells = [line.split("|")[1] for line in part(title).splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)
        shown = prefix + (field.alias or name)
        if inner is None or name in ELSEWHERE:
            yield shown
        else:
            yield from keys(inner, f"{shown}{'' if inner is field.annotation else '[]'}.")


def test_every_key_is_listed_and_no_other() -> None:
    assert sorted(listed("lab.toml")) == sorted(keys(LabFile))


def test_the_example_is_a_lab() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    made = plan.parse(text, Path("lab.toml"))
    assert made.names == ("birdy.local", "finch.local", "robin.local")
    assert ("finch.local", "robin.local", Way(cut=True)) in made.ways
    assert made.traffic == PlannedTraffic(50, 120)


def test_every_verb_of_the_box_is_shown() -> None:
    shown = set(re.findall(r"^waypost lab (\w+)", PAGE, re.MULTILINE))
    modules = {verb.name: verb.load().__module__.rpartition(".")[2] for verb in VERBS}
    box = {name for name, module in modules.items() if module in {"up", "show", "traffic", "faults"}}
    assert box <= shown
    assert shown <= set(modules)


def test_every_count_is_explained() -> None:
    facts = account(Book(), Counter())
    assert set(listed("Traffic")) <= set(facts)


def test_the_bounds_are_those_of_the_model() -> None:
    text = part("What a fault does")
    assert f"{RETRANSMIT_MIN_S * 1000:g} ms" in text
    assert LOSSES_MAX == 7
    assert "lost seven times" in text
    assert f"at most {LATENCY_MAX_S:g} s" in part("lab.toml")
