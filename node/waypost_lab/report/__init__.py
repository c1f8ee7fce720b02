"""One self-contained page of pictures from a run's timeline.

A timeline is read twice and never held: `survey` learns how long it is and which queues grew longest, `collect` adds
its events up into a `Picture` of bounded size, `page` draws that. So neither memory nor the page grows with the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waypost_lab import timeline
from waypost_lab.report.collect import collect
from waypost_lab.report.model import Picture
from waypost_lab.report.page import page
from waypost_lab.report.survey import survey


@dataclass(frozen=True)
class Written:
    page: Path
    bytes: int
    picture: Picture


def picture_of(source: Path) -> Picture:
    """Raises LocalError(BAD_CONFIG) if it is no timeline."""
    return collect(timeline.events(source), survey(timeline.events(source)))


def write(source: Path, target: Path) -> Written:
    """Draw a timeline. The page is replaced as a whole, or left as it was. Raises LocalError(BAD_CONFIG), OSError."""
    picture = picture_of(source)
    data = page(picture).encode()
    beside = target.with_name(target.name + ".new")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return Written(target, len(data), picture)
