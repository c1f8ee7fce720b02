"""The states of an outbox: the table of its module, and looks at a store that others write to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.protocol.test_outbox import Box, attached, box, take

from waypost.limits import FEEDS_MAX_BYTES
from waypost.protocol.custody.outbox import Outbox, OutboxState

D, F, B, R, M = OutboxState  # as the table of the module has them


def in_state(state: OutboxState) -> tuple[Outbox[Box], int]:
    """An outbox that has read parcel 1, and the generation of its reads."""
    outbox: Outbox[Box] = Outbox()
    outbox.attach()
    wanted = outbox.wants_fetch()
    assert wanted is not None
    outbox.fetched(wanted[0], [box(1)])
    if state is not B:
        assert outbox.wants_fetch() == (wanted[0], 1)
    if state is F:
        outbox.fetched(wanted[0], [])
    elif state is M:
        outbox.add(box(2))
    elif state is D:
        outbox.detach()
    assert outbox.state is state
    return outbox, wanted[0]


#: What happens -> the state after it, from D, F, B, R and M.
STEPS: dict[str, tuple[Callable[[Outbox[Box], int], object], tuple[OutboxState, ...]]] = {
    "attach": (lambda outbox, _: outbox.attach(), (B, B, B, B, B)),
    "detach": (lambda outbox, _: outbox.detach(), (D, D, D, D, D)),
    "add": (lambda outbox, _: outbox.add(box(3)), (D, F, B, M, M)),
    "add without room": (lambda outbox, _: outbox.add(box(3, size=FEEDS_MAX_BYTES)), (D, B, B, M, M)),
    "look": (lambda outbox, _: outbox.look_again(), (D, B, B, M, M)),
    "wanted": (lambda outbox, _: outbox.wants_fetch(), (D, F, R, R, M)),
    "passed": (lambda outbox, _: outbox.passed(3), (D, F, B, R, M)),
}
READS: dict[str, tuple[Callable[[Outbox[Box], int], object], tuple[OutboxState, OutboxState]]] = {
    "found": (lambda outbox, generation: outbox.fetched(generation, [box(2)]), (B, B)),
    "found nothing": (lambda outbox, generation: outbox.fetched(generation, []), (F, B)),
    "failed": (lambda outbox, generation: outbox.fetch_failed(generation), (B, B)),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_table_of_states(name: str) -> None:
    step, expected = STEPS[name]
    for state, after in zip(OutboxState, expected, strict=True):
        outbox, generation = in_state(state)
        step(outbox, generation)
        assert outbox.state is after, state


@pytest.mark.parametrize("name", READS)
def test_the_table_of_reads(name: str) -> None:
    step, expected = READS[name]
    for state, after in zip((R, M), expected, strict=True):
        outbox, generation = in_state(state)
        step(outbox, generation)
        assert outbox.state is after, state


def test_a_look_reads_anew_page_by_page_and_passes_over_what_memory_has() -> None:
    outbox = attached(box(2), box(5))
    assert take(outbox) == [*box(2).items, *box(5).items]  # in flight
    outbox.look_again()
    generation, after = outbox.wants_fetch() or (0, -1)
    assert after == 0
    outbox.fetched(generation, [box(1), box(2)])
    assert outbox.wants_fetch() == (generation, 2)
    outbox.fetched(generation, [box(4), box(5)])
    assert outbox.wants_fetch() == (generation, 5)
    outbox.fetched(generation, [])
    assert take(outbox) == [*box(1).items, *box(4).items]
    assert outbox.idle


def test_a_look_while_a_look_is_being_read_begins_again() -> None:
    outbox = attached(box(3))
    outbox.look_again()
    generation, _ = outbox.wants_fetch() or (0, 0)
    outbox.look_again()
    outbox.fetched(generation, [box(1)])
    assert outbox.wants_fetch() == (generation, 0)
    outbox.fetch_failed(generation)
    assert outbox.wants_fetch() == (generation, 0)
