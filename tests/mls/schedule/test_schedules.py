"""Random schedules: whatever the network and the processes do, members agree and outsiders stay outside.

A longer hunt: `--hypothesis-profile=hunt`.
"""

from hypothesis import given
from tests.mls.schedule.play import Play
from tests.mls.schedule.steps import Schedule, schedules


@given(schedules())
def test_members_agree_at_rest_whatever_happens(schedule: Schedule) -> None:
    Play(schedule).run()
