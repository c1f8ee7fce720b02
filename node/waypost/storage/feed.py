"""Brings the changes of commits to those who take them."""

from __future__ import annotations

from waypost.storage.operations.changes import Change, Take
from waypost.storage.pending import Report


class Feed:
    """For engines: one for each open store. `report` gets what a take raises; the other takes go on."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._takes: list[Take] = []

    def add(self, take: Take) -> None:
        self._takes.append(take)

    def give(self, changes: tuple[Change, ...]) -> None:
        """The changes of one commit. Never from within a call of `submit`, or a take would see them out of order."""
        if not changes:
            return
        for take in self._takes:
            try:
                take(changes)
            except Exception as error:  # noqa: BLE001 # reason: theirs; the store and the other takes go on
                self.report(error)
