"""`waypost check`: whether a node can run, and be reached."""

from __future__ import annotations

import typer

from waypost.cli.options import Json, State

_MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def check(state: State = None, json: Json = False) -> None:
    """Look for everything that could keep the node from running or from being reached, and say how to mend it.

    Works whether the node runs or not. Exit code 1 if there is any fault.
    """
    from waypost.cli.node import state_dir
    from waypost.cli.outcome import Exit, print_json
    from waypost.cli.words import line
    from waypost.daemon.check import State as Found
    from waypost.daemon.check import check as look

    findings = look(state_dir(state))
    faults = [finding for finding in findings if finding.state is Found.FAULT]
    if json:
        listed = [
            {"subject": f.subject, "state": f.state.value, "detail": f.detail, "remedy": f.remedy} for f in findings
        ]
        print_json({"faults": len(faults), "findings": listed})
    else:
        for finding in findings:
            line(f"{_MARKS[finding.state.value]}  {finding.subject}: {finding.detail}")
            if finding.remedy:
                line(f"       → {finding.remedy.rstrip('.')}.")
        line("No faults." if not faults else f"{len(faults)} to mend." if len(faults) > 1 else "One to mend.")
    if faults:
        raise typer.Exit(Exit.FAILED)
