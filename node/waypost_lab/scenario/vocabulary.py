"""The forms of sentences that there are, each with what it means."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from waypost_lab.scenario.words import SLOTS, Reader

if TYPE_CHECKING:
    from waypost_lab.scenario.stage import Stage

_PART: Final = re.compile(r"<([a-z ]+)>|('s|[\w-]+|[,:%])")

#: Does something to the stage.
Deed = Callable[..., Awaitable[None]]
#: Looks at the stage: None if what was claimed is so, else what is the case instead.
Claim = Callable[..., Awaitable[str | None]]
D = TypeVar("D", bound=Deed)
C = TypeVar("C", bound=Claim)


class FormKind(Enum):
    """What sort of sentence it is."""

    SETUP = "setup"  #: names somebody or sets something, before anything happens
    DEED = "deed"  #: somebody does something, or something happens
    CLAIM = "claim"  #: it becomes so
    ABSENCE = "absence"  #: it stays so


@dataclass(frozen=True)
class Form:
    """`<slots>` stand for what is filled in. `mean` is called with the stage and what they hold, in that order."""

    template: str
    kind: FormKind
    mean: Callable[..., Awaitable[Any]]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each a slot's name and '', or '' and a word."""
        return [(match[1] or "", match[2] or "") for match in _PART.finditer(self.template)]

    @property
    def about(self) -> str:
        """One or two sentences for the reader."""
        return " ".join((self.mean.__doc__ or "").split())

    def match(self, reader: Reader) -> tuple[Any, ...]:
        """What the slots hold. Raises Mismatch."""
        values = []
        for slot, word in self.parts:
            if word:
                reader.take_word(word)
            else:
                values.append(SLOTS[slot](reader))
        reader.take_end()
        return tuple(values)

    async def play(self, stage: Stage, values: tuple[Any, ...]) -> Any:
        return await self.mean(stage, *values)


FORMS: Final[list[Form]] = []


def setup(*templates: str) -> Callable[[D], D]:
    """A form by which somebody is named or something is set."""
    return _adding(FormKind.SETUP, templates)


def deed(*templates: str) -> Callable[[D], D]:
    """A form by which something happens."""
    return _adding(FormKind.DEED, templates)


def claim(*templates: str) -> Callable[[C], C]:
    """A form by which something is claimed to become so."""
    return _adding(FormKind.CLAIM, templates)


def absence(*templates: str) -> Callable[[C], C]:
    """A form by which something is claimed to stay so."""
    return _adding(FormKind.ABSENCE, templates)


def _adding(kind: FormKind, templates: tuple[str, ...]) -> Callable[[Any], Any]:
    def add(mean: Any) -> Any:
        FORMS.extend(Form(template, kind, mean) for template in templates)
        return mean

    return add
