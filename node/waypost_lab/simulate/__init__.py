"""Hours of many nodes from one seed: the relay as it ships, in virtual time, on a network that does its worst.

`plan` says what to play, `world` builds it, `people` write messages, `storm` breaks things, `promises` watches, `run`
puts it together and `shrink` makes a failing case smaller. The same plan gives the same run, event for event.
"""
