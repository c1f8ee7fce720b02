"""Events in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from waypost.errors import Code, LocalError
from waypost_lab.report import model
from waypost_lab.report.collect import collect
from waypost_lab.report.model import Fate, Figure, Latencies, Picture
from waypost_lab.report.survey import survey
from waypost_lab.timeline import (
    AnyEvent,
    End,
    Fault,
    Flow,
    Latency,
    LinkState,
    Mended,
    NodeState,
    Note,
    Queue,
    Run,
    Step,
)

RUN = Run(title="a run", source="lab", nodes=("a.local", "b.local"), seed=5)
A, B = "u@a.local", "v@b.local"


def picture(*events: AnyEvent, run: Run = RUN) -> Picture:
    every: Sequence[AnyEvent] = [run, *events]
    return collect(every, survey(every))


def step(t: float, name: str, id_: str = "01", **more: Any) -> Step:
    return Step(t=t, id=id_, step=name, **{"sender": A, "recipient": B, **more})


def flow(t: float, **counts: int) -> Flow:
    return Flow(t=t, every_s=10, **counts)


def test_a_run_without_events_has_nothing_and_was_cut_off() -> None:
    found = picture()
    assert (found.title, found.seed, found.events, found.ended) == ("a run", 5, 1, False)
    assert found.grid.end_s == 1.0
    assert not found.flows.any
    assert not any((found.figures, found.queues, found.notes, found.links))
    assert [node.name for node in found.nodes] == ["a.local", "b.local"]


def test_steps_become_counts_rows_and_latencies() -> None:
    found = picture(
        step(1, "sent"), step(1.001, "accepted"), step(1.2, "held"), step(1.5, "delivered"),
        step(2, "sent", "02"), step(2, "accepted", "02"), step(8, "bounced", "02", code=300), End(t=10, result={}),
    )  # fmt: skip
    assert found.figures == (
        Figure("accepted", 2), Figure("delivered", 1), Figure("bounced", 1), Figure("expired", 0),
    )  # fmt: skip
    assert found.overall is not None
    assert found.overall.count == 1
    assert found.overall.p50 == pytest.approx(500, rel=0.05)
    assert [(node.sent, node.received) for node in found.nodes] == [(2, 0), (0, 1)]
    assert [(link.a, link.b, link.messages, link.fate) for link in found.links] == [
        ("a.local", "b.local", 1, Fate.UNSEEN)
    ]
    assert max(found.custody) == 1
    assert found.custody[-1] == 0


def test_a_message_to_two_is_timed_for_each_of_them() -> None:
    found = picture(
        step(1, "sent", recipient=""), step(2, "delivered"), step(5, "delivered", recipient="w@b.local"),
        End(t=10, result={}),
    )  # fmt: skip
    assert found.overall is not None
    assert found.overall.count == 2
    assert found.overall.most == pytest.approx(4000)


def test_steps_without_names_do_no_harm() -> None:
    found = picture(Step(t=1, id="", step="delivered"), Step(t=2, id="", step="no such step"))
    assert found.figures[1] == Figure("delivered", 1)
    assert found.links == ()


def test_flows_are_spread_over_the_seconds_that_they_count() -> None:
    found = picture(flow(10, accepted=100), flow(20, accepted=50, delivered=120), End(t=20, result={}))
    assert sum(found.flows.accepted) == pytest.approx(150)
    assert found.grid.width_s >= 10
    assert found.flows.accepted == pytest.approx((100, 50))
    assert found.custody == pytest.approx((100, 30))


def test_where_flows_are_steps_do_not_count_again() -> None:
    found = picture(step(1, "accepted"), step(2, "delivered"), flow(10, accepted=1, delivered=1))
    assert found.figures[:2] == (Figure("accepted", 1), Figure("delivered", 1))
    assert found.overall is not None


def test_latency_events_are_drawn_as_they_are() -> None:
    event = Latency(t=10, every_s=10, count=7, p50_ms=1, p90_ms=2, p99_ms=3, max_ms=4)
    found = picture(event, step(3, "sent"), step(4, "delivered"), End(t=10, result={}))
    assert [point for point in found.latency if point] == [Latencies(7, 1, 2, 3, 4, exact=True)]


def test_what_the_run_counted_itself_goes_before_the_events() -> None:
    found = picture(
        step(1, "accepted"),
        End(
            t=2,
            result={"accepted": 9, "lost": 1, "duplicates": 0, "violations": ["twice"], "wall_s": 1.5, "holds": True},
        ),
    )
    assert {figure.name: (figure.value, figure.bad) for figure in found.figures} == {
        "accepted": (9, None), "delivered": (0, None), "bounced": (0, None), "expired": (0, None),
        "lost": (1, True), "duplicates": (0, False), "violations": (1, True),
    }  # fmt: skip
    assert found.result == (("wall s", "1.5"), ("holds", "yes"))
    assert [(note.text, note.error) for note in found.notes] == [("twice", True)]


def test_a_violation_is_noted_once() -> None:
    found = picture(
        Note(t=3, text="once: m1 was shown twice", level="error"),
        End(
            t=9,
            result={
                "violations": [
                    {"promise": "once", "at_s": 3.0, "text": "m1 was shown twice"},
                    {"promise": "kept", "at_s": 4.0, "text": "m2 is gone"},
                ]
            },
        ),
    )
    assert [(note.t, note.text) for note in found.notes] == [(3, "once: m1 was shown twice"), (4, "kept: m2 is gone")]
    assert found.figures == (Figure("violations", 2, bad=True),)


def test_queues_for_a_peer_add_up_and_the_longest_have_lines() -> None:
    events: list[AnyEvent] = [Queue(t=1, node="a.local", peer=f"p{n}", items=n) for n in range(1, 11)]
    events += [Queue(t=2, node="b.local", peer="p10", items=5), Queue(t=3, node="a.local", peer="p10", items=0)]
    found = picture(*events, End(t=100, result={}))
    assert [line.peer for line in found.queues] == ["p10", "p9", "p8", "p7", "p6", "p5"]
    assert found.queues[0].peak == 15
    assert found.queues[0].values[-1] == 5
    assert found.rest is not None
    assert found.rest.peak == 1 + 2 + 3 + 4
    assert [node.waiting for node in found.nodes] == [55, 5]


def test_faults_last_until_they_are_mended_or_to_the_end() -> None:
    found = picture(
        Fault(t=10, id=1, name="cut", nodes=("a.local", "b.local"), detail="one way"),
        Fault(t=20, id=2, name="crash", nodes=("a.local",)),
        Mended(t=30, id=1), Mended(t=31, id=99), End(t=100, result={}),
    )  # fmt: skip
    assert [(each.name, each.start, each.stop, each.mended) for each in found.faults.bands] == [
        ("cut", 10, 30, True), ("crash", 20, 100, False),
    ]  # fmt: skip
    assert [node.faults for node in found.nodes] == [2, 1]
    assert found.faults.count == 2
    assert sum(found.faults.strips[0].active) * found.grid.width_s == pytest.approx(80, rel=0.1)


def test_an_id_used_again_ends_the_first_fault() -> None:
    found = picture(Fault(t=1, id=1, name="cut", nodes=()), Fault(t=5, id=1, name="cut", nodes=()), Mended(t=9, id=1))
    assert [(each.start, each.stop) for each in found.faults.bands] == [(1, 5), (5, 9)]


def test_many_faults_become_how_many_of_each_kind() -> None:
    events: list[AnyEvent] = []
    for n in range(500):
        events += [Fault(t=n, id=n, name=f"kind{n % 30}", nodes=("a.local",)), Mended(t=n + 2.0, id=n)]
    found = picture(*events)
    assert found.faults.bands == ()
    assert found.faults.count == sum(strip.count for strip in found.faults.strips) == 500
    assert len(found.faults.strips) == model.KINDS + 1
    assert found.faults.strips[-1].name == "other"
    assert len(found.faults.longest) == model.LISTED
    assert max(found.faults.active) == pytest.approx(2, rel=0.01)


def test_nodes_that_go_down_are_timed_and_counted() -> None:
    found = picture(
        NodeState(t=10, node="a.local", state="down"), NodeState(t=20, node="a.local", state="up"),
        NodeState(t=50, node="b.local", state="gone"), NodeState(t=60, node="c.local", state="up"),
        End(t=100, result={}),
    )  # fmt: skip
    assert [(node.name, node.state, node.downs, node.down_s) for node in found.nodes] == [
        ("a.local", "up", 1, 10), ("b.local", "gone", 0, 50), ("c.local", "up", 0, 0),
    ]  # fmt: skip
    assert max(found.down) == 1


def test_links_tell_how_they_fared() -> None:
    nodes = ("a", "b", "c")
    found = picture(
        LinkState(t=1, a="a", b="b", up=True), LinkState(t=1, a="b", b="c", up=True),
        LinkState(t=2, a="c", b="b", up=False), LinkState(t=3, a="b", b="c", up=True),
        LinkState(t=1, a="c", b="a", up=True), LinkState(t=9, a="a", b="c", up=False), End(t=10, result={}),
        run=Run(title="", source="", nodes=nodes),
    )  # fmt: skip
    assert {(link.a, link.b): (link.fate, link.drops) for link in found.links} == {
        ("a", "b"): (Fate.STEADY, 0), ("b", "c"): (Fate.BROKEN, 1), ("a", "c"): (Fate.DOWN, 1),
    }  # fmt: skip


def test_what_ends_with_the_run_was_up() -> None:
    found = picture(
        LinkState(t=1, a="a.local", b="b.local", up=True), NodeState(t=9, node="a.local", state="down"),
        LinkState(t=9, a="a.local", b="b.local", up=False), End(t=9, result={}),
    )  # fmt: skip
    assert [link.fate for link in found.links] == [Fate.STEADY]
    assert [(node.state, node.downs) for node in found.nodes] == [("up", 0), ("up", 0)]


def test_errors_are_kept_when_notes_are_too_many() -> None:
    notes = [Note(t=n, text=f"note {n}") for n in range(500)] + [Note(t=500, text="twice", level="error")]
    found = picture(*notes)
    assert found.notes[0].text == "twice"
    assert len(found.notes) == model.LISTED
    assert found.unheard == 501 - model.LISTED


@pytest.mark.parametrize("t", [-1.0, 1e12])
def test_times_beyond_reason_are_refused(t: float) -> None:
    with pytest.raises(LocalError, match="ten years") as caught:
        picture(Note(t=t, text="when?"))
    assert caught.value.code is Code.BAD_CONFIG


def test_quantities_beyond_reason_are_kept_in_bounds() -> None:
    found = picture(
        Queue(t=1, node="a.local", peer="p", items=10**18), Queue(t=2, node="a.local", peer="q", items=-5),
        Flow(t=5, every_s=-3, accepted=10**18, delivered=-7),
        Latency(t=5, every_s=1e9, count=10**18, p50_ms=-1, p90_ms=1e300, p99_ms=0, max_ms=0),
        End(t=9, result={"accepted": 10**30 // 10**12, "lost": -1}),
    )  # fmt: skip
    assert found.queues[0].peak == 10**15
    assert sum(found.flows.accepted) == pytest.approx(1e15)
    assert sum(found.flows.delivered) == 0
