"""The page: complete, inert, bounded, whatever the run was; and read from a file of any length."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest
from tests.lab.report import runs
from typer.testing import CliRunner

from waypost.cli.main import app
from waypost.cli.outcome import Exit
from waypost.errors import Code, LocalError
from waypost_lab import timeline
from waypost_lab.report import model, picture_of, write
from waypost_lab.report.collect import collect
from waypost_lab.report.page import page
from waypost_lab.report.survey import survey
from waypost_lab.timeline import (
    AnyEvent,
    End,
    Fault,
    Flow,
    Latency,
    LinkState,
    NodeState,
    Note,
    Queue,
    Recorder,
    Run,
    Step,
)

MOST_BYTES = 2 << 20
RUN = Run(title="a run", source="lab", nodes=("a.local", "b.local"))
ASKS = {
    "a",
    "audio",
    "base",
    "embed",
    "form",
    "iframe",
    "image",
    "img",
    "input",
    "link",
    "object",
    "script",
    "use",
    "video",
}
VOID = {"meta"}


class Reader(HTMLParser):
    """Every element and attribute; fails where an element is not closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def draw(events: Sequence[AnyEvent]) -> str:
    return page(collect(events, survey(events)))


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def ids(html: str) -> list[str]:
    return [str(attributes["id"]) for _, attributes in read(html).tags if "id" in attributes]


def test_each_kind_of_run_has_its_charts() -> None:
    assert ids(draw(runs.storm(20, 6))) == [
        "time", "faults", "messages", "custody", "queues", "latency", "topology", "distribution", "links", "nodes",
        "result",
    ]  # fmt: skip
    assert ids(draw(runs.chaos(120))) == [
        "notes", "time", "faults", "messages", "custody", "queues", "latency", "topology", "distribution", "links",
        "nodes", "result",
    ]  # fmt: skip
    assert ids(draw(runs.bench())) == ["notes", "time", "messages", "latency", "distribution", "result"]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (None, ["time"]),
        (Step(t=1, id="01", step="accepted", sender="u@a.local"), ["time", "messages", "custody", "nodes"]),
        (Flow(t=0, every_s=0), ["time"]),
        (Flow(t=60, every_s=60, expired=3), ["time", "messages"]),
        (Latency(t=9, every_s=9, count=1, p50_ms=1, p90_ms=1, p99_ms=1, max_ms=1), ["time", "latency", "distribution"]),
        (Queue(t=0, node="a.local", peer="b.local", items=4), ["time", "queues", "nodes"]),
        (Fault(t=0, id=1, name="cut", nodes=("a.local", "b.local")), ["time", "faults", "topology", "nodes"]),
        (NodeState(t=5, node="a.local", state="gone"), ["time", "faults", "topology", "nodes"]),
        (LinkState(t=5, a="a.local", b="b.local", up=True), ["time", "topology", "links"]),
        (Note(t=5, text="hello"), ["notes", "time"]),
        (End(t=5, result={"connects_per_s": 213}), ["time", "result"]),
    ],
)  # fmt: skip
def test_a_timeline_of_one_event_is_drawn(event: AnyEvent | None, shown: list[str]) -> None:
    html = draw([RUN, event] if event else [RUN])
    assert ids(html) == shown
    assert "NaN" not in html
    assert "inf" not in re.sub(r"[a-z]*info?[a-z]*", "", html)


def test_only_steps_and_only_flows_both_give_all_charts_of_messages() -> None:
    every = runs.chaos(120)
    steps = [event for event in every if isinstance(event, Run | Step)]
    assert ids(draw(steps)) == ["time", "messages", "custody", "latency", "topology", "distribution", "links", "nodes"]
    flows = [event for event in runs.storm(10, 3) if isinstance(event, Run | Flow)]
    assert ids(draw(flows)) == ["time", "messages", "custody"]


def test_broken_promises_are_said_at_the_top_and_in_the_notes() -> None:
    text = " ".join(read(draw(runs.storm(12, 2, broken=True))).text)
    assert "✕ Promises were broken: 1 duplicate, 1 violation." in text
    assert "shown twice to alice@n004.local" in text
    assert "✓ Nothing lost, nothing shown twice." in " ".join(read(draw(runs.bench())).text)
    assert "was cut off" in " ".join(read(draw([RUN])).text)


HOSTILE = "</title></style></svg>\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{}&amp;"


def hostile(x: str = HOSTILE) -> list[AnyEvent]:
    """That text wherever a timeline has room for one."""
    return [
        Run(title=x, source=x, nodes=(x, f"u@{x}", "b"), started_ms=10**17),
        NodeState(t=1, node=x, state=x),
        LinkState(t=1, a=x, b="b", up=True),
        Fault(t=1, id=1, name=x, nodes=(x, "b"), detail=x),
        Queue(t=1, node=x, peer=x, items=3),
        Step(t=1, id=x, step="accepted", sender=x, recipient=f"v@{x}"),
        Step(t=2, id=x, step="delivered", sender=x, recipient=f"v@{x}"),
        Note(t=2, text=x, level="error"),
        End(t=9, result={x: x, "violations": [x], "inner": {x: x}}),
    ]


def test_no_name_or_note_becomes_markup() -> None:
    reader = read(draw(hostile()))
    assert not ASKS & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not any(name.startswith("on") or name in ("href", "src", "xlink:href") for name in attributes)
    assert "<script>alert(1)" in " ".join(reader.text)
    assert "\u202e" not in " ".join(reader.text)


def test_the_page_asks_for_nothing_and_forbids_it() -> None:
    html = draw(runs.storm(20, 3))
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|url\(|@import|@font-face", html)
    assert not ASKS & {tag for tag, _ in read(html).tags}


def enormous() -> Iterable[AnyEvent]:
    """More of everything than a page has room for, with names as long as they come."""
    names = tuple(f"{n}{'x' * 200}" for n in range(500))
    yield Run(title="x" * 5_000, source="x" * 5_000, nodes=names)
    for a, b in combinations(names[:120], 2):
        yield LinkState(t=1, a=a, b=b, up=True)
    for n in range(4_000):
        a, b = names[n % 500], names[(n * 7 + 1) % 211]
        yield LinkState(t=n, a=a, b=b, up=n % 3 > 0)
        yield Fault(t=n, id=n, name=f"{n % 300} {a}", nodes=names[:50], detail="y" * 1_000)
        yield Queue(t=n, node=a, peer=b + str(n), items=n)
        yield Note(t=n, text="z" * 1_000, level="error" if n % 2 else "info")
        yield Step(t=n, id=str(n), step="accepted", sender=f"u@{a}", recipient=f"u@{b}")
        yield Step(t=n + n % 97, id=str(n), step="delivered", sender=f"u@{a}", recipient=f"u@{b}")
        yield NodeState(t=n, node=a, state="down" if n % 5 else "up")
    yield End(t=6_000, result={f"{n}{'k' * 300}": "v" * 300 for n in range(5_000)})


def test_the_page_is_bounded_whatever_the_run(tmp_path: Path) -> None:
    source, target = tmp_path / "run.jsonl", tmp_path / "run.html"
    timeline.write(source, enormous())
    written = write(source, target)
    assert written.bytes == target.stat().st_size < MOST_BYTES
    assert len(written.picture.links) == model.LINKS
    assert len(written.picture.nodes) == model.NODES < written.picture.node_count
    read(target.read_text(encoding="utf-8"))


def test_one_text_of_a_million_letters_does_not_fill_the_page() -> None:
    assert len(draw(hostile("y" * 1_000_000))) < MOST_BYTES / 10


def test_a_hundred_nodes_with_every_link_fit(tmp_path: Path) -> None:
    names = tuple(f"node-{n:03d}.example.net" for n in range(100))
    links = [LinkState(t=1, a=a, b=b, up=True) for a, b in combinations(names, 2)]
    html = draw([Run(title="mesh", source="lab", nodes=names), *links])
    assert len(html.encode()) < MOST_BYTES
    drawn = "".join(str(attributes["d"]) for tag, attributes in read(html).tags if tag == "path")
    assert drawn.count("Q") == 4_950


def peak_of(path: Path) -> int:
    tracemalloc.start()
    try:
        picture_of(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_run_is_never_held_in_memory(tmp_path: Path) -> None:
    source = tmp_path / "run.jsonl"
    with Recorder(source) as recorder:
        for event in runs.million(48_000):
            recorder.add(event)
    assert source.stat().st_size > 5_000_000
    assert peak_of(source) < 1_000_000


def test_a_line_that_was_cut_off_is_left_out_at_the_end_only(tmp_path: Path) -> None:
    source = tmp_path / "run.jsonl"
    timeline.write(source, runs.bench())
    whole = source.read_bytes()
    source.write_bytes(whole[:-20])
    assert timeline.read(source) == timeline.read(source)
    assert len(timeline.read(source)) == len(runs.bench()) - 1
    assert not picture_of(source).ended
    source.write_bytes(whole[:400] + whole[420:])
    with pytest.raises(LocalError, match="line"):
        picture_of(source)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin"),
        (b"\n\n", "does not begin"),
        (b'{"kind":"end","result":{}}\n', "does not begin"),
        (b"not json\n", "line 1"),
        (b"not json", "line 1"),
        (b'{"kind":"run","title":"a","source":"b","nodes":[]}\n{"kind":"new"}\n', "line 2"),
        (b'{"kind":"run","title":"a","source":"b","nodes":[]}\n{"kind":"note","text":"\xff"}\n', "line 2"),
        (b'{"kind":"run","title":"a","source":"b","nodes":[]}\n' + b'"' * (1 << 25), "line 2"),
        (b'{"kind":"run","title":"a","source":"b","nodes":[]}\n{"kind":"note","t":-1,"text":""}\n', "ten years"),
    ],
)
def test_what_is_no_timeline_is_refused(data: bytes, why: str, tmp_path: Path) -> None:
    source, target = tmp_path / "run.jsonl", tmp_path / "page.html"
    source.write_bytes(data)
    target.write_text("the page of yesterday")
    with pytest.raises(LocalError, match=why) as caught:
        write(source, target)
    assert caught.value.code is Code.BAD_CONFIG
    assert target.read_text() == "the page of yesterday"
    assert sorted(tmp_path.iterdir()) == [target, source]


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["lab", "report", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def test_the_verb_writes_the_page_and_says_so(tmp_path: Path) -> None:
    source, target = tmp_path / "run.jsonl", tmp_path / "page.html"
    timeline.write(source, runs.bench())
    assert "drawn from 228 events" in run(source, "-o", target)
    said = json.loads(run(source, "-o", target, "--json"))
    assert said == {"page": str(target), "bytes": target.stat().st_size, "events": 228}


def test_the_verb_refuses_what_cannot_work(tmp_path: Path) -> None:
    source = tmp_path / "run.jsonl"
    assert "No such file" in run(source, code=Exit.USAGE)
    assert "directory" in run(tmp_path, code=Exit.USAGE)
    timeline.write(source, runs.bench())
    before = source.read_bytes()
    assert "the timeline itself" in run(source, "-o", source, code=Exit.USAGE)
    assert "No such file" in run(source, "-o", tmp_path / "none" / "page.html", code=Exit.TROUBLE)
    assert source.read_bytes() == before
