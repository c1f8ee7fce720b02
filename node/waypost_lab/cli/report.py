"""`waypost lab report`: a page of pictures from what a run has written down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.options import Json
from waypost.cli.outcome import print_json
from waypost.cli.words import line, size
from waypost.errors import Code, LocalError
from waypost_lab.report import write


def report(
    timeline: Annotated[
        Path, typer.Argument(metavar="TIMELINE", help="What a run wrote down with --record.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page; it is replaced if it is there.")
    ] = Path("report.html"),
    json: Json = False,
) -> None:
    """Draw a run: messages, queues, latency and faults over time, nodes and links, all on one page of HTML.

    The page needs no network and no script; send it to whoever should see the run.
    """
    if out.exists() and timeline.exists() and out.samefile(timeline):
        raise LocalError(Code.BAD_CONFIG, f"{out} is the timeline itself; give the page another name with -o")
    written = write(timeline, out)
    if json:
        print_json({"page": str(written.page), "bytes": written.bytes, "events": written.picture.events})
    else:
        line(f"{written.page}: {size(written.bytes)}, drawn from {written.picture.events:,} events.")
