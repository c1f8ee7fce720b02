"""`waypost lab conformance`: judge a node by the protocol documents, clause by clause."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, failure_of, print_json
from waypost.cli.tables import show
from waypost.cli.words import line
from waypost.daemon.config import parse_host_port
from waypost.errors import Code, LocalError
from waypost_lab.conformance.check import Ruling, Verdict
from waypost_lab.conformance.run import ignored
from waypost_lab.conformance.session import Judgement, Wanted, judge_node, judge_own
from waypost_lab.conformance.session import patience as how_patient
from waypost_lab.conformance.unobservable import UNOBSERVABLE

_MARKS = {"passed": "passed", "failed": "FAILED", "skipped": "skipped"}


def conformance(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="The node to judge; without --own.", show_default=False)
    ] = "",
    *,
    own: Annotated[
        bool, typer.Option("--own", help="Start one of our own nodes on loopback, judge that, and remove it.")
    ] = False,
    invite: Annotated[
        list[str] | None,
        typer.Option("--invite", metavar="INVITE", help="For two users of the node; a third for the first of them."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST", help="Address of this machine that the node can dial.")
    ] = None,
    restart: Annotated[
        str | None,
        typer.Option("--restart", metavar="COMMAND", help="Kills the node without warning and starts it again."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CLAUSE", help="These alone, such as LINK-7 or CUST.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the checks that may take longer than 20 s.")
    ] = False,
    patience: Annotated[
        float | None,
        typer.Option(
            "--patience", metavar="SECONDS", help="Leave out those that may take longer; default: 150.", min=1
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Judge a node by docs/protocol, clause by clause, with good and hostile inputs over real links.

    The node must let strangers in (policy "open"), and is left with users and peers that nobody needs: judge one that
    you can throw away. Exit code 1 if it breaks any clause; docs/conformance.md says what the results mean.
    """
    if own == bool(address):
        raise LocalError(Code.BAD_REQUEST, "name the node as HOST:PORT, or say --own")
    wanted = Wanted(tuple(invite or ()), listen, restart, how_patient(quick, patience), tuple(only or ()))
    judgement = _judged(address, wanted, quiet=json)
    if json:
        print_json(judgement.as_json())
    else:
        _show(judgement)
    if not judgement.is_good:
        raise typer.Exit(Exit.FAILED)


def _judged(address: str, wanted: Wanted, *, quiet: bool) -> Judgement:
    told = ignored if quiet else _progress()
    try:
        if not address:
            with tempfile.TemporaryDirectory(prefix="waypost-conformance-") as directory:
                return trio.run(partial(judge_own, Path(directory), wanted, told))
        try:
            at = parse_host_port(address)
        except ValueError as error:
            raise LocalError(Code.BAD_REQUEST, f"{address!r}: {str(error).partition('|')[0]}") from None
        return trio.run(partial(judge_node, at.host, at.port, wanted, told))
    except BaseExceptionGroup as group:
        failure = failure_of(group)
        if failure is None:
            raise
        raise failure from None


def _progress() -> Callable[[Ruling], None]:
    """Counts on the standard error stream, where somebody looks."""
    done: list[str] = []

    def tell(result: Ruling) -> None:
        done.append(result.verdict.value)
        if sys.stderr.isatty():
            failed = done.count("failed")
            sys.stderr.write(f"\r{len(done)} checks done, {failed} failed ")
            sys.stderr.flush()

    return tell


def _show(judgement: Judgement) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")  # the count
    columns = ("clause", "expectation", "result")
    show(columns, map(_row, judgement.results))
    failed = [result for result in judgement.results if result.verdict is Verdict.FAILED]
    if failed:
        # Once more, where the eye ends up.
        show(columns, map(_row, failed), title="Failed")
    counts = ", ".join(f"{number} {verdict.value}" for verdict, number in judgement.counts.items())
    line(f"{judgement.node}: {counts}, in {judgement.seconds:.0f} s.")
    line(f"{len(UNOBSERVABLE)} clauses cannot be judged from outside; see docs/conformance.md.")


def _row(result: Ruling) -> tuple[str, str, str]:
    reason = f": {result.reason}" if result.reason else ""
    return " ".join(result.check.clauses), result.check.expectation, _MARKS[result.verdict.value] + reason
