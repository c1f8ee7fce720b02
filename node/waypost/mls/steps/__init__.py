"""What moves a group on: functions from one state to the next. `group.Group` uses each state once."""
