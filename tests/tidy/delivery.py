"""Delivery, as a newcomer meets it: the files that one must read to change it, and the types that are named there."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from tests.tidy.trees import Module, Tree

#: Where custody is; and the modules that it came from, by `moved`, for a tree that has no such folder.
_CUSTODY = ("waypost.relay.custody", "waypost.protocol.custody")
_CAME_FROM = {
    "waypost.relay.custody": frozenset(
        f"waypost.relay.{name}"
        for name in ("intake", "early", "courier", "consequences", "ledger", "upkeep", "tracks", "fullness")
    ),
    "waypost.protocol.custody": frozenset(f"waypost.protocol.{name}" for name in ("custody", "outbox", "envelope")),
}
_OPERATIONS = ("waypost.storage.operations", "waypost.storage.store")
_AROUND = ("waypost.relay", "waypost.routing", "waypost.protocol", *_OPERATIONS)
_NAME = re.compile(r"`(?:waypost\.)?([a-z][\w.]*)`")


def moved(page: Path) -> dict[str, frozenset[str]]:
    """Folder of custody -> the old modules that came to be in it, by the page's table `| old | new, … |`.

    Without such a table, those that are known to.
    """
    rows = [line.split("|")[1:3] for line in page.read_text("utf-8").splitlines()] if page.is_file() else []
    found: dict[str, set[str]] = {folder: set() for folder in _CUSTODY}
    for row in rows:
        if len(row) == 2 and (old := _NAME.search(row[0])):
            for new in _NAME.findall(row[1]):
                for folder in _CUSTODY:
                    if f"waypost.{new}".startswith(folder):
                        found[folder].add(f"waypost.{old[1]}")
    return {folder: frozenset(names) for folder, names in found.items()} if all(found.values()) else dict(_CAME_FROM)


def delivery(tree: Tree, came_from: Mapping[str, frozenset[str]] = _CAME_FROM) -> list[Module]:
    """Every module of custody, and each of relay, routing, protocol and the store's operations that these import.

    At run time, directly. A package that only hands on leads to the module that it hands on from.
    """
    custody = {
        module.name: module
        for folder in _CUSTODY
        for module in (tree.within(folder) if tree.is_package(folder) else tree.within(*came_from[folder]))
    }
    reached = {tree.home(each) for module in custody.values() for each in tree.imports(module, when_loaded=False)}
    around = {name: tree.modules[name] for name in reached if tree.modules[name].is_in(*_AROUND)}
    return sorted(
        (module for module in (custody | around).values() if not module.is_empty), key=lambda module: module.name
    )


_ALIAS_NAME = re.compile(r"_?[A-Z]\w*[a-z]\w*|_?[A-Z]")


def types(module: Module) -> list[str]:
    """Classes (enums and protocols too) and type aliases."""
    found = [node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    for node in module.tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if "TypeAlias" in ast.unparse(kind):
                found.append(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp()) if _ALIAS_NAME.fullmatch(
                name
            ):
                found.append(name)
            case _ if type(node).__name__ == "TypeAlias":
                found.append(ast.unparse(node))
    return found
