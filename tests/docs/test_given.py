"""What others may import keeps its name and its arguments; more may come."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import waypost_lab

MODULES = ("waypost.client", "waypost.errors", "waypost.ids")
#: Of 5c0cfc9, as `given` tells it.
THEN = (Path(__file__).resolve().parents[1] / "data" / "given-5c0cfc9.txt").read_text(encoding="utf-8").splitlines()


def given(module: str) -> Iterator[str]:
    """Public names and members of classes, functions with their arguments."""
    there = importlib.import_module(module)
    own = [name for name, value in vars(there).items() if getattr(value, "__module__", module) == module]
    for name in getattr(there, "__all__", own):
        value = getattr(there, name)
        if not name.startswith("_") and not inspect.ismodule(value):
            yield shown(f"{module}.{name}", value)
            if inspect.isclass(value):
                yield from members(f"{module}.{name}", value)


def members(path: str, kind: type) -> Iterator[str]:
    bases = [base for base in kind.__mro__ if base.__module__.startswith("waypost")]
    for name in {name for base in bases for name in (*vars(base), *inspect.get_annotations(base))}:
        if not name.startswith("_"):
            yield shown(f"{path}.{name}", inspect.getattr_static(kind, name, None))


def shown(path: str, value: object) -> str:
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not inspect.isfunction(value):
        return path
    empty = inspect.Parameter.empty
    parts = [
        str(part.replace(annotation=empty, default=empty)) for part in inspect.signature(value).parameters.values()
    ]
    return f"{path}({', '.join(parts)})"


def test_nothing_that_was_given_is_gone() -> None:
    now = {line for module in MODULES for line in given(module)}
    assert [line for line in THEN if line not in now] == []
    assert len(THEN) > 150


def test_the_lab_gives_to_tests_of_apps_what_it_gave() -> None:
    assert sorted(waypost_lab.__all__) == ["Make", "Network", "network", "run"]
    (plugin,) = entry_points(group="pytest11", name="waypost")
    assert hasattr(plugin.load(), "waypost_network")
