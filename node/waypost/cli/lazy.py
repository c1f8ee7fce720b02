"""Verbs that are loaded when they are called, so that `--help` and completion load none of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of a command line. The group `waypost.verbs` of entry points names such objects too."""

    name: str
    where: str  #: module:attribute, a function or a Typer
    help: str  #: its docstring's first line
    leads: bool = False  #: an announced one: listed before the product's own

    def load(self) -> Any:
        """The function or Typer itself."""
        module, _, attribute = self.where.partition(":")
        return getattr(import_module(module), attribute)


class LazyGroup(TyperGroup):
    """A group of `verbs`. Use: `typer.Typer(cls=…)` with a class that names them, and a callback."""

    verbs: ClassVar[tuple[Verb, ...]] = ()

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update((verb.name, _Listed(verb)) for verb in self.verbs)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """What runs; what is only listed stays unloaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.loaded() if isinstance(command, _Listed) else command, rest


class _Listed(TyperCommand):
    """A verb as far as a list of verbs needs it."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(verb.name, help=verb.help)
        self._verb = verb

    def loaded(self) -> Any:
        found = self._verb.load()
        around = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=self._verb.name)
        else:
            around.command(self._verb.name)(found)
        return typer.main.get_group(around).commands[self._verb.name]
