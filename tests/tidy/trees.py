"""A source tree as data, for counting: its modules, their syntax trees, and what imports what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

#: The product and the networks to try it with; the second was a folder of the first once.
PACKAGES = ("waypost", "waypost_lab")
#: Below node/: the lab with its verbs and the demo, wherever they are.
LAB = ("waypost_lab", "waypost/lab", "waypost/cli/lab", "waypost/cli/demo")
SOURCE_KINDS = {".py", ".sql", ".css", ".txt", ".js", ".html", ""}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """`module` of the project; `name`: what of it, if that is no module itself."""

    module: str
    name: str
    line: int


@dataclass(frozen=True)
class Module:
    """`name` is dotted; a package goes by its own name."""

    name: str
    path: Path
    shown: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text("utf-8"))

    @cached_property
    def is_empty(self) -> bool:
        """Nothing in it but words."""
        return all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in self.tree.body)

    @property
    def is_lab(self) -> bool:
        return self.shown.removeprefix("node/").startswith(LAB)

    def is_in(self, *packages: str) -> bool:
        """Whether it is one of these modules, or within one of these packages."""
        return any(self.name == each or self.name.startswith(f"{each}.") for each in packages)

    def at(self, node: ast.AST) -> str:
        return f"{self.shown}:{getattr(node, 'lineno', 0)}"


class Tree:
    """A checkout, of whatever layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        sources = [path for package in PACKAGES for path in sorted((root / "node" / package).rglob("*.py"))]
        self.modules = {module.name: module for module in (_module(root, path) for path in sources)}

    def product(self) -> list[Module]:
        """All but the lab."""
        return [module for module in self.modules.values() if not module.is_lab]

    def lab(self) -> list[Module]:
        return [module for module in self.modules.values() if module.is_lab]

    def is_package(self, name: str) -> bool:
        return name in self.modules and self.modules[name].path.name == "__init__.py"

    def within(self, *packages: str) -> list[Module]:
        return [module for module in self.modules.values() if module.is_in(*packages)]

    def files(self, folder: str) -> list[Path]:
        """The text files below it, whatever they hold."""
        found = (self.root / folder).rglob("*")
        return sorted(
            path for path in found if path.is_file() and path.suffix in SOURCE_KINDS and "__pycache__" not in path.parts
        )

    def imports(self, module: Module, *, when_loaded: bool) -> list[Import]:
        """What it imports of the project at run time; `when_loaded`: without what functions import when called."""
        found = []
        for node in _statements(module.tree, into_functions=not when_loaded):
            if isinstance(node, ast.Import):
                found += [self._import(alias.name, "", node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = _base(module, node)
                found += [self._import(base, alias.name, node.lineno) for alias in node.names]
        return [each for each in found if each.module in self.modules and each.module != module.name]

    def _import(self, base: str, name: str, line: int) -> Import:
        whole = f"{base}.{name}"
        return Import(whole, "", line) if name and whole in self.modules else Import(base, name, line)

    def home(self, of: Import) -> str:
        """The module that an import leads to in the end: a package may hand on what its modules define."""
        seen: set[str] = set()
        at = of
        while at.name and at.module not in seen:
            seen.add(at.module)
            through = [
                each
                for each in self.imports(self.modules[at.module], when_loaded=True)
                if each.name == at.name or each.module.endswith(f".{at.name}")
            ]
            if not through or not self.is_package(at.module):
                break
            at = through[0]
        return at.module

    @cached_property
    def circles(self) -> list[list[str]]:
        """Groups of modules that import each other while they are loaded."""
        arrows = {
            name: {each.module for each in self.imports(module, when_loaded=True)}
            for name, module in self.modules.items()
        }
        reached = {name: _reached(arrows, name) for name in arrows}
        found = {tuple(sorted(each for each in there if name in reached[each])) for name, there in reached.items()}
        return sorted(list(circle) for circle in found if circle)


def _module(root: Path, path: Path) -> Module:
    parts = path.relative_to(root / "node").with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, path.relative_to(root).as_posix())


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    up = module.name.split(".")
    up = up if module.path.name == "__init__.py" else up[:-1]
    up = up[: len(up) - node.level + 1]
    return ".".join([*up, node.module] if node.module else up)


def _statements(node: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    """All below it that runs; what only type checkers read is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function) and not into_functions:
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _statements(other, into_functions=into_functions)
            continue
        yield child
        yield from _statements(child, into_functions=into_functions)


def _reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = list(arrows[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += arrows[name]
    return found
