"""docs/scenarios.md lists what ships: every scenario with its complaints, every sentence with its meaning."""

import re
from pathlib import Path

from waypost_lab.scenario.parse import forms, parse
from waypost_lab.scenario.play import play
from waypost_lab.scenario.shipped import load, names
from waypost_lab.scenario.vocabulary import FormKind

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in it, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables = [line for line in lines if not re.match(r"\|--|\| (scenario|sentence) ", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in tables]


def test_every_scenario_is_listed_with_the_complaints_that_it_answers() -> None:
    scripts = [(name, load(name)) for name in names()]
    assert rows(section("Those that ship")) == [
        [f"`{name}`", f"{script.title}. {script.about}", ", ".join(script.answers)] for name, script in scripts
    ]


def test_every_sentence_is_listed() -> None:
    assert rows(section("Sentences")) == [[f"`{form.template}`", form.about] for form in forms()]
    assert len({form.kind for form in forms()}) == len(FormKind)


def test_its_example_passes() -> None:
    (example,) = re.findall(r"^```\n(# .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert play(parse(example, "docs/scenarios.md")).failure is None
