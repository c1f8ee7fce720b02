"""`waypost check`: whether a node can run, and be reached."""

from __future__ import annotations

import typer

from waypost.cli.node import state_dir
from waypost.cli.options import Json, State
from waypost.cli.outcome import Exit, print_json
from waypost.cli.shapes import CheckFinding, CheckReport
from waypost.cli.words import line
from waypost.daemon.check import Severity
from waypost.daemon.check import check as look

_MARKS = {Severity.OK: "ok   ", Severity.NOTE: "note ", Severity.FAULT: "FAULT"}


def check(state: State = None, json: Json = False) -> None:
    """Look for everything that could keep the node from running or from being reached, and say how to mend it.

    Works whether the node runs or not. Exit code 1 if there is any fault.
    """
    findings = look(state_dir(state))
    faults = [finding for finding in findings if finding.state is Severity.FAULT]
    if json:
        listed = tuple(CheckFinding(each.subject, each.state.value, each.detail, each.remedy) for each in findings)
        print_json(CheckReport(len(faults), listed))
    else:
        for finding in findings:
            line(f"{_MARKS[finding.state]}  {finding.subject}: {finding.detail}")
            if finding.remedy:
                line(f"       → {finding.remedy.rstrip('.')}.")
        line("No faults." if not faults else f"{len(faults)} to mend." if len(faults) > 1 else "One to mend.")
    if faults:
        raise typer.Exit(Exit.FAILED)
