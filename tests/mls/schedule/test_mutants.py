"""The schedules can fail: each of these mistakes is found, and soon."""

import pytest
from hypothesis import Phase, given, settings
from tests.mls.schedule.hub import Violation
from tests.mls.schedule.mutants import MUTANTS, Mutate
from tests.mls.schedule.play import Play
from tests.mls.schedule.steps import Schedule, schedules


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_a_mistake_is_found(mutate: Mutate, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)

    # Found is enough: the smallest schedule is of interest only where one looks for the reason.
    @settings(max_examples=1_000, phases=(Phase.generate,), derandomize=True, database=None, report_multiple_bugs=False)
    @given(schedules())
    def play(schedule: Schedule) -> None:
        Play(schedule).run()

    with pytest.raises(Violation, match=MUTANTS[mutate]):
        play()
