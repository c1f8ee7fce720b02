"""From a file to a script. Everything that can be wrong with a line is told before anything is played."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Final

from waypost.errors import Code, LocalError
from waypost_lab.scenario import checks, steps
from waypost_lab.scenario.vocabulary import FORMS, Form, FormKind
from waypost_lab.scenario.words import Cast, Mismatch, Reader, Token, tokenise

#: How long a claim may take to become true, and an absence is watched, where the line does not say.
PATIENCE_S: Final = 60.0
_LINES_MAX: Final = 1_000
_ANSWERS: Final = "Answers:"


class When(Enum):
    """How a line stands in time, which passes from one line to the next."""

    NOW = "now"
    AFTER = "after"  #: that much later
    WITHIN = "within"  #: at some moment until then
    FOR = "for"  #: at every moment until then


@dataclass(frozen=True)
class Line:
    """One sentence. `seconds` belongs to `when`."""

    number: int
    text: str
    when: When
    seconds: float
    form: Form
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Script:
    """A scenario. `answers`: what people have complained of, as repository#number."""

    title: str
    about: str
    answers: tuple[str, ...]
    lines: tuple[Line, ...] = field(repr=False)


@cache
def forms() -> tuple[Form, ...]:
    """All that there are: what sets up, what happens, what is claimed."""
    return tuple(form for module in (steps, checks) for form in FORMS if form.mean.__module__ == module.__name__)


def parse(text: str, where: str) -> Script:
    """Raises LocalError(BAD_CONFIG), which names `where`, the line, and what could stand there."""
    cast, lines, comments = Cast(), list[Line](), list[str]()
    started = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            if not lines:
                comments.append(line.lstrip("#").strip())
        elif line:
            try:
                parsed = _line(number, line, cast)
                started = _in_order(parsed, cast, started=started)
            except Mismatch as mismatch:
                raise LocalError(Code.BAD_CONFIG, f"{where} line {number}: {_explained(line, mismatch)}") from None
            lines.append(parsed)
        if number > _LINES_MAX:
            raise LocalError(Code.BAD_CONFIG, f"{where} has more than {_LINES_MAX} lines")
    if not comments or not lines:
        raise LocalError(Code.BAD_CONFIG, f"{where}: a scenario begins with “# Its title” and has sentences after that")
    return Script(*_header(comments), tuple(lines))


def _header(comments: list[str]) -> tuple[str, str, tuple[str, ...]]:
    answers = [each for line in comments if line.startswith(_ANSWERS) for each in _listed(line.removeprefix(_ANSWERS))]
    about = " ".join(line for line in comments[1:] if not line.startswith(_ANSWERS))
    return comments[0], about.strip(), tuple(answers)


def _listed(text: str) -> Iterable[str]:
    return (each for part in text.split(",") if (each := part.strip()))


def _line(number: int, text: str, cast: Cast) -> Line:
    tokens = tokenise(text)
    reader = Reader(tokens, cast)
    when, seconds = _timing(reader)
    wanted: dict[int, dict[str, None]] = {}
    for form in forms():
        attempt = Reader(tokens, cast, reader.at)
        try:
            values = form.match(attempt)
        except Mismatch as mismatch:
            wanted.setdefault(mismatch.at, {})[mismatch.wanted] = None
            continue
        return Line(number, text, *_timed(form, when, seconds), form, values)
    furthest = max(wanted)
    raise Mismatch(furthest, _alternatives(list(wanted[furthest])))


def _timing(reader: Reader) -> tuple[When, float]:
    first = reader.tokens[reader.at].value.lower() if reader.tokens else ""
    for when in (When.AFTER, When.WITHIN, When.FOR):
        if first == when.value:
            reader.at += 1
            seconds = reader.take_time()
            token = reader.tokens[reader.at : reader.at + 1]
            if token and token[0].value in (",", ":"):
                reader.at += 1
            return when, seconds
    return When.NOW, 0.0


def _timed(form: Form, when: When, seconds: float) -> tuple[When, float]:
    """Claims become true within a time, absences hold for a time, and everything else happens at once."""
    if when is When.WITHIN and form.kind is not FormKind.CLAIM:
        raise Mismatch(0, "no “within”: only what is to become true has time for it")
    if when is When.FOR and form.kind is not FormKind.ABSENCE:
        raise Mismatch(0, "no “for”: only “sees nothing” and its like hold for a time")
    return when, seconds


def _in_order(line: Line, cast: Cast, *, started: bool) -> bool:
    """Take up what a line names. Returns whether the scenario has begun."""
    if line.form.kind is not FormKind.SETUP:
        if not cast.nodes:
            raise Mismatch(0, "“nodes …” first: nobody is there yet")
        if line.form.mean in steps.WRITES:
            cast.texts.append(str(line.values[1]))
        return True
    if started:
        raise Mismatch(0, "nothing of that kind any more: what is there is said before anything happens")
    for value in line.values:
        if isinstance(value, tuple):
            for each in value:
                if isinstance(each, tuple):
                    cast.users[each[0]] = each[1]
                else:
                    cast.nodes.append(each)
    return False


def _explained(line: str, mismatch: Mismatch) -> str:
    try:
        tokens: list[Token] = tokenise(line)
    except Mismatch:
        return f"{line[mismatch.at :]!r} is no {mismatch.wanted}"
    before = " ".join(token.shown for token in tokens[: mismatch.at]).replace(" 's", "'s")
    there = f"not “{tokens[mismatch.at].shown}”" if mismatch.at < len(tokens) else "the line ends there"
    place = f"after “{before}” comes" if before else "here comes"
    return f"{place} {mismatch.wanted}; {there}"


def _alternatives(wanted: list[str]) -> str:
    shown = wanted[:12]
    if len(wanted) > len(shown):
        return ", ".join(shown) + f" or one of {len(wanted) - len(shown)} more"
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
