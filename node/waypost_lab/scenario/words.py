"""Sentences of a scenario, taken apart: tokens, and the slots of a form, each of which takes some of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from waypost.errors import Code

_TOKEN: Final = re.compile(
    r"""\s*(?:"(?P<text>[^"]*)"|(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)|(?P<word>'s\b|[A-Za-z][\w.-]*|[,:%]))"""
)
_UNITS: Final = {"ms": 0.001, "second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}


class Mismatch(Exception):
    """What stands at `at` is not what could stand there, which is `wanted`."""

    def __init__(self, at: int, wanted: str) -> None:
        super().__init__(at, wanted)
        self.at = at
        self.wanted = wanted


class Token(NamedTuple):
    """A word, a number or a quoted text. `shown` is as it was written."""

    kind: str
    value: str
    shown: str


@dataclass
class Cast:
    """Who and what has been named so far; a sentence may only speak of these."""

    nodes: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)  #: name → node
    texts: list[str] = field(default_factory=list)  #: of the messages written, in that order


def tokenise(line: str) -> list[Token]:
    """Raises Mismatch with the place in the line (in characters) of what is no word."""
    tokens, at = [], 0
    line = line.rstrip()
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise Mismatch(at, 'a word, a number or a text in "quotes"')
        kind = match.lastgroup or ""
        tokens.append(Token(kind, match.group(kind), match.group().strip()))
        at = match.end()
    return tokens


class Reader:
    """Goes over the tokens of one sentence. Every `take_…` moves on or raises Mismatch."""

    def __init__(self, tokens: list[Token], cast: Cast, at: int = 0) -> None:
        self.tokens = tokens
        self.cast = cast
        self.at = at

    @property
    def _token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self, kind: str, wanted: str) -> str:
        token = self._token
        if token is None or token.kind != kind:
            raise Mismatch(self.at, wanted)
        self.at += 1
        return token.value

    def take_word(self, word: str) -> None:
        token = self._token
        if token is None or token.kind != "word" or token.value.lower() != word.lower():
            raise Mismatch(self.at, f"“{word}”")
        self.at += 1

    def take_end(self) -> None:
        if self._token is not None:
            raise Mismatch(self.at, "the end of the line")

    def take_name(self, names: list[str], what: str) -> str:
        token = self._token
        if token is None or token.kind != "word" or token.value not in names:
            raise Mismatch(self.at, f"{what} ({', '.join(names) or 'none is named yet'})")
        self.at += 1
        return token.value

    def take_new_name(self, what: str, taken: Iterable[str]) -> str:
        token = self._token
        if token is None or token.kind != "word" or not re.fullmatch(r"[a-z][a-z0-9-]*", token.value):
            raise Mismatch(self.at, f"{what} (lower-case letters)")
        if token.value in {*self.cast.nodes, *self.cast.users, *taken}:
            raise Mismatch(self.at, f"{what} that is not taken")
        self.at += 1
        return token.value

    def has_comma(self) -> bool:
        """Whether one stood there; it is passed over."""
        if self._token is None or self._token.value != ",":
            return False
        self.at += 1
        return True

    def take_number(self, wanted: str = "a number") -> float:
        return float(self._take("number", wanted).replace(",", ""))

    def take_text(self, wanted: str = 'a text in "quotes"') -> str:
        return self._take("text", wanted)

    def take_time(self) -> float:
        wanted = "a time such as 10 minutes"
        start = self.at
        amount = self.take_number(wanted)
        token = self._token
        unit = token.value if token else ""
        seconds = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if seconds is None:
            raise Mismatch(max(start, self.at), "ms, seconds, minutes, hours or days")
        self.at += 1
        return amount * seconds


def _user(reader: Reader) -> str:
    return reader.take_name(list(reader.cast.users), "a user")


def _node(reader: Reader) -> str:
    return reader.take_name(reader.cast.nodes, "a node")


def _anyone(reader: Reader) -> str:
    return reader.take_name([*reader.cast.nodes, *reader.cast.users], "a node or a user")


def _message(reader: Reader) -> str:
    """`it` is the message written last; every other one is named by its text."""
    token, texts = reader.tokens[reader.at : reader.at + 1], reader.cast.texts
    if token and token[0].kind == "word" and token[0].value == "it" and texts:
        reader.at += 1
        return texts[-1]
    start = reader.at
    text = reader.take_text("the text of a message" + (", or “it” for the last one" if texts else ""))
    if text not in texts:
        near = difflib.get_close_matches(text, texts, 1) or texts[-1:]
        raise Mismatch(start, f'the text of a message written before, such as "{near[0]}"' if near else "a message")
    return text


def _reason(reader: Reader) -> Code:
    """A numbered error, by its title."""
    start, titles = reader.at, {code.title: code for code in Code}
    text = reader.take_text("a reason: the title of an error, in quotes")
    if text not in titles:
        near = difflib.get_close_matches(text, titles, 3, 0.4)
        listed = ", ".join(f'"{title}"' for title in near) or f'"{Code.UNREACHABLE.title}"'
        raise Mismatch(start, f"the title of an error, such as {listed}")
    return titles[text]


def _percent(reader: Reader) -> float:
    share = reader.take_number("a share such as 5%")
    reader.take_word("%")
    return share / 100


def _new_nodes(reader: Reader) -> tuple[str, ...]:
    names: list[str] = []
    while not names or reader.has_comma():
        names.append(reader.take_new_name("a name for a node", names))
    return tuple(names)


def _new_users(reader: Reader) -> tuple[tuple[str, str], ...]:
    """`alice at birdy, bob at finch`."""
    users: list[tuple[str, str]] = []
    while not users or reader.has_comma():
        name = reader.take_new_name("a name for a user", dict(users))
        reader.take_word("at")
        users.append((name, _node(reader)))
    return tuple(users)


#: What may stand in a slot `<name>` of a form.
SLOTS: Final[dict[str, Callable[[Reader], Any]]] = {
    "user": _user,
    "node": _node,
    "node or user": _anyone,
    "text": Reader.take_text,
    "message": _message,
    "number": lambda reader: int(reader.take_number()),
    "time": Reader.take_time,
    "percent": _percent,
    "reason": _reason,
    "new nodes": _new_nodes,
    "new users": _new_users,
}
