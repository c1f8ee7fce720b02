"""What a real browser makes of the page: at the width of a desk and of a hand, light and dark, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.lab.report import runs
from tests.lab.report.browser import Browser, browser
from tests.lab.report.test_page import hostile

from waypost_lab import timeline
from waypost_lab.report import write
from waypost_lab.timeline import AnyEvent, Fault, LinkState, Run


def long_names() -> list[AnyEvent]:
    """As many nodes as have labels like spokes, with names that have to be cut."""
    names = tuple(f"relay-{n:02d}-of-many-in-the-west.example.org" for n in range(30))
    ups = [LinkState(t=n, a=a, b=b, up=True) for n, (a, b) in enumerate(pairwise(names))]
    return [
        Run(title="long names " * 12, source="lab", nodes=names),
        *ups,
        Fault(t=3, id=1, name="cut", nodes=names[:9]),
    ]


RUNS: dict[str, Callable[[], list[AnyEvent]]] = {
    "storm": runs.storm,
    "broken": lambda: runs.storm(12, 2, broken=True),
    "chaos": runs.chaos,
    "bench": runs.bench,
    "names": long_names,
    "hostile": hostile,
}
#: Text that is seen and sticks out of the window, unless it can be scrolled to inside the page.
STICKING_OUT = """[...document.querySelectorAll('main *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .filter(e => !e.closest('.scroll') && !e.closest('title, desc') && e.checkVisibility())
  .map(e => [e.textContent.slice(0, 40), e.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5))
  .map(([text, box]) => `${text}: ${box.left} to ${box.right}`)"""
CLIPPED = """[...document.querySelectorAll('.ring text')].filter(e => e.checkVisibility())
  .filter(e => { const box = e.getBoundingClientRect(), ring = e.closest('svg').getBoundingClientRect()
    return Math.max(ring.left - box.left, box.right - ring.right, ring.top - box.top, box.bottom - ring.bottom) > 1 })
  .map(e => e.textContent)"""
FLAT = """[...document.querySelectorAll('.plot, .ring')].map(e => [e.getBoundingClientRect(), e])
  .filter(([box]) => box.width < 200 || box.height < 20).map(([box, e]) => e.outerHTML.slice(0, 80))"""
EMPTY = """[...document.querySelectorAll('figure')]
  .filter(f => f.querySelector('svg') && ![...f.querySelectorAll('path, .bar, circle')].some(e => {
    const box = e.getBoundingClientRect(); return box.width + box.height > 2 })).map(f => f.id)"""
#: Pairs of labels of one row that cover each other.
COLLIDING = """[...document.querySelectorAll('.axis, #distribution .plot, #faults .plot, .gutter')].flatMap(row => {
  const boxes = [...row.querySelectorAll('text')].filter(e => e.checkVisibility())
    .map(e => [e.textContent, e.getBoundingClientRect()]).filter(([, box]) => box.width)
  return boxes.flatMap(([a, p], n) => boxes.slice(n + 1)
    .filter(([, q]) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 4 && q.top < p.bottom - 4)
    .map(([b]) => `${a} | ${b}`)) })"""
ALIGNED = """[...new Set([...document.querySelectorAll('#time .plot')].map(e => {
  const box = e.getBoundingClientRect(); return `${box.left} ${box.right}` }))]"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    where = tmp_path_factory.mktemp("pages")
    for name, events in RUNS.items():
        timeline.write(where / f"{name}.jsonl", events())
        write(where / f"{name}.jsonl", where / f"{name}.html")
    return {name: where / f"{name}.html" for name in RUNS}


def complaints(chromium: Browser) -> list[Any]:
    return [
        *chromium.named("Log.entryAdded"),
        *chromium.named("Runtime.exceptionThrown"),
        *chromium.named("Runtime.consoleAPICalled"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", RUNS)
def test_the_page_looks_as_it_should(
    chromium: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    chromium.open(pages[name], width, scheme)
    assert [each["request"]["url"] for each in chromium.named("Network.requestWillBeSent")] == [pages[name].as_uri()]
    assert complaints(chromium) == []
    assert chromium.ask("document.querySelectorAll('figure svg').length") >= 2
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(FLAT) == []
    assert chromium.ask(CLIPPED) == []
    assert chromium.ask(EMPTY) == []
    assert chromium.ask(STICKING_OUT) == []
    assert chromium.ask(COLLIDING) == []
    assert len(chromium.ask(ALIGNED)) <= 1
    dark = chromium.ask("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 23)"
    assert dark == (scheme == "dark")
    assert chromium.shot().startswith(b"\x89PNG")


def test_no_script_of_a_name_runs(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["hostile"], 1280, "light")
    assert chromium.named("Page.javascriptDialogOpening") == []
    assert chromium.ask("document.scripts.length + document.images.length") == 0
    assert "<script>" in chromium.ask("document.title")


def test_the_page_prints(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["chaos"], 1280, "dark")
    assert chromium.printed().startswith(b"%PDF")
