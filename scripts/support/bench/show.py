"""Results for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.support.bench.compare import COUNTED, WORSE_BY, Reading, Row, Spread


def show(name: str, result: dict[str, Any]) -> None:
    """One side's figures."""
    print(f"{name}:")
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"  {key:<28}" + "  ".join(f"{k} {v}" for k, v in value.items()))
        else:
            print(f"  {key:<28}{value}")


def interpreter(facts: dict[str, Any]) -> str:
    """An interpreter in one line."""
    build = [
        "PGO" if facts["pgo"] else "no PGO",
        "LTO" if facts["lto"] else "no LTO",
        *(["debug"] if facts["debug"] else []),
        "free-threaded" if facts["free_threaded"] else "with GIL",
    ]
    return (
        f"{facts['implementation']} {facts['python']}, {facts['compiler']}, {', '.join(build)}, "
        f"SQLite {facts['sqlite']}"
    )


def calibration(before: dict[str, float], after: dict[str, float]) -> str:
    """Both of them; empty ones were not made."""
    if not before:
        return "no calibration"
    return "calibration, before → after:\n" + "\n".join(
        f"  {name:<28}{before[name]} → {after[name]}" for name in before
    )


def table(rows: Sequence[Row]) -> str:
    """A row for each figure: both medians with their least and most, and the ratios."""
    lines: list[tuple[str, ...]] = [("figure", "new (least–most)", "old (least–most)", "new/old", "least", "most", "")]
    lines += map(_cells, rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def verdict(rows: Sequence[Row]) -> str:
    """The rows whose median is worse by more than WORSE_BY, apart by whether all rounds agree that they are worse."""
    worse = [row for row in rows if row.loss > WORSE_BY]
    all_rounds = [f"{row.name} ({row.loss:+.0%})" for row in worse if row.reading is Reading.WORSE]
    others = [f"{row.name} ({row.loss:+.0%})" for row in worse if row.reading is not Reading.WORSE]
    return (
        f"worse by more than {WORSE_BY:.0%} in the median, and worse in every one of enough rounds: "
        f"{', '.join(all_rounds) or 'none'}\n"
        f"worse by more than {WORSE_BY:.0%} in the median only: {', '.join(others) or 'none'}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    counted = row.name.rpartition(".")[2] in COUNTED
    ratio = (
        (f"{row.ratio.median:.3f}", f"{row.ratio.least:.3f}", f"{row.ratio.most:.3f}") if row.ratio else ("", "", "")
    )
    reading = "in all rounds together" if counted else row.reading.value
    return row.name, _spread(row.new), _spread(row.old), *ratio, reading


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    if spread.least == spread.most:
        return f"{spread.median:,g}" if abs(spread.median) < 1e5 else f"{spread.median:,.0f}"
    return f"{_number(spread.median)} ({_number(spread.least)}–{_number(spread.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
