"""What is counted of a tree. Each measure is a list of what it found, or a number of lines."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.tidy.trees import Function, Module, Tree

# ── objects that are not whole ──────────────────────────────────────────────────────────────────────────────────────

_VALUES = re.compile(r"NamedTuple|TypedDict|Struct|Protocol|BaseModel|Enum")


def without_value(modules: Sequence[Module]) -> list[str]:
    """Attributes that a class with a constructor declares, or sets later, and that have no value when it returns."""
    classes = {
        node.name: node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)
    }
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not _is_value(node):
                found += [f"{module.at(node)} {node.name}.{name}" for name in _missing(node, classes)]
    return found


def _is_value(node: ast.ClassDef) -> bool:
    decorated = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    return decorated or any(_VALUES.search(ast.unparse(base)) for base in node.bases)


def _missing(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[str]:
    methods = {each.name: each for each in node.body if isinstance(each, Function)}
    if "__init__" not in methods:
        return []
    given, declared = _class_level(node)
    given |= _given(methods, "__init__", set())
    declared |= {name for name, value in _assigned(methods["__init__"]) if not value}
    for base in _bases(node, classes):
        inherited = {each.name: each for each in base.body if isinstance(each, Function)}
        given |= _class_level(base)[0] | _given(inherited, "__init__", set())
    later = {name for method in methods.values() for name, value in _assigned(method) if value}
    return sorted((declared | later) - given)


def _bases(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
        if name in classes and classes[name] is not node:
            yield classes[name]
            yield from _bases(classes[name], classes)


def _class_level(node: ast.ClassDef) -> tuple[set[str], set[str]]:
    """The names that have a value (or are methods), and those that are only declared."""
    given: set[str] = set()
    declared: set[str] = set()
    for each in node.body:
        match each:
            case ast.AnnAssign(target=ast.Name(id=name), value=None, annotation=kind):
                (given if "ClassVar" in ast.unparse(kind) else declared).add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                given.add(name)
            case ast.Assign(targets=targets):
                given |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                given.add(name)
            case _:
                pass
    return given, declared


def _given(methods: dict[str, Function], name: str, seen: set[str]) -> set[str]:
    """What it sets, and what the methods set that it calls."""
    if name not in methods or name in seen:
        return set()
    seen.add(name)
    found = {attribute for attribute, value in _assigned(methods[name]) if value}
    for node in ast.walk(methods[name]):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=called)):
                found |= _given(methods, called, seen)
            case _:
                pass
    return found


def _assigned(method: Function) -> Iterator[tuple[str, bool]]:
    """The attributes of self that it names as targets, and whether with a value."""
    bare = {id(node.target) for node in ast.walk(method) if isinstance(node, ast.AnnAssign) and node.value is None}
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name, id(node) not in bare
            case _:
                pass


# ── answers without a type ──────────────────────────────────────────────────────────────────────────────────────────


def loose_dicts(tree: Tree) -> list[str]:
    """`dict[str, Any]` where things have types."""
    return [
        module.at(node)
        for module in tree.within("waypost.relay", "waypost.protocol", "waypost.storage")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Subscript) and re.search(r"(?i)(dict|mapping)\[str, Any\]$", ast.unparse(node))
    ]


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

#: What a message went through, whom an account lets write to it, how a key was learnt, the operator's word on a peer.
_WORDS = {
    "fate": {"accepted", "queued", "deferred", "held", "delivered", "bounced", "expired"},
    "reach": {"all", "none", "some"},
    "trust": {"first-use", "pinned", "succession"},
}


def listed_twice(modules: Sequence[Module]) -> list[str]:
    """Sets of two words or more that are written in more than one place, an enum's members counted as one."""
    places: dict[frozenset[str], list[str]] = defaultdict(list)
    for module in modules:
        for node, words in _sets(module.tree):
            places[words].append(module.at(node))
    return [f"{sorted(words)}: {', '.join(where)}" for words, where in places.items() if len(where) > 1]


def _sets(tree: ast.AST) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    skipped: set[int] = set()  # __slots__ and the like; a statement comes before its parts
    for node in ast.walk(tree):
        match node:
            case ast.Tuple(elts=elements, ctx=ast.Load()) | ast.Set(elts=elements) if id(node) not in skipped:
                words = _strings(elements)
            case ast.ClassDef(body=body) if any("Enum" in ast.unparse(base) for base in node.bases):
                words = _strings([each.value for each in body if isinstance(each, ast.Assign)])
            case ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("__"):
                skipped.add(id(node.value))
                continue
            case _:
                continue
        if len(words) > 1:
            yield node, words


def _strings(elements: Sequence[ast.expr]) -> frozenset[str]:
    found = [each.value for each in elements if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return frozenset(found) if len(found) == len(elements) else frozenset()


def bare_words(modules: Sequence[Module]) -> list[str]:
    """The product's own words as strings, outside the enum that lists them (the first, in the order of the rows)."""
    found = []
    for kind, words in _WORDS.items():
        home = _home_of(words, modules)
        for module in modules:
            if module is not home:
                names = _field_names(module.tree)
                found += [
                    f"{module.at(node)} {kind}: {node.value}"
                    for node in ast.walk(module.tree)
                    if isinstance(node, ast.Constant) and node.value in words and id(node) not in names
                ]
    return found


def _home_of(words: set[str], modules: Sequence[Module]) -> Module | None:
    for module in sorted(modules, key=lambda each: (not each.is_in("waypost.protocol"), each.name)):
        for node, listed in _sets(module.tree):
            if isinstance(node, ast.ClassDef) and words <= listed | {""}:
                return module
    return None


def _field_names(tree: ast.AST) -> set[int]:
    """Strings that mean something else: a field, as `found["held"]`, or the only such one in a dict or an enum.

    Two of them are a list of the words.
    """
    names: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=ast.Constant() as key):
                names.add(id(key))
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant() as key, *_]):
                names.add(id(key))
            case ast.Dict(keys=keys):
                names |= _alone(keys)
            case ast.ClassDef(body=body) if any("Enum" in ast.unparse(base) for base in node.bases):
                names |= _alone([each.value for each in body if isinstance(each, ast.Assign)])
            case _:
                pass
    return names


def _alone(found: Sequence[ast.expr | None]) -> set[int]:
    every = set().union(*_WORDS.values())
    words = [id(each) for each in found if isinstance(each, ast.Constant) and each.value in every]
    return set(words) if len(words) == 1 else set()


def double_names(modules: Sequence[Module]) -> list[str]:
    """Class names that mean two things or more; private ones are their module's own affair."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module.name)
    return [f"{name}: {', '.join(where)}" for name, where in sorted(homes.items()) if len(where) > 1]


# ── size ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(tree: Tree, *folders: str, lab: bool | None = None) -> int:
    """Of all text below these folders; `lab`: of the lab alone, or of all else."""
    found = 0
    for folder in folders:
        for path in tree.files(folder):
            module = Module("", path, path.relative_to(tree.root).as_posix())
            if lab is None or module.is_lab is lab:
                found += len(path.read_text("utf-8").splitlines())
    return found


def code_lines(modules: Sequence[Module]) -> int:
    """Lines of code alone: no comments, no docstrings, nothing empty."""
    return sum(len(_code(module)) for module in modules)


def _code(module: Module) -> set[int]:
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    words = {
        number
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(module.path.read_text("utf-8")).readline)
    return {
        number for token in tokens if token.type not in quiet for number in range(token.start[0], token.end[0] + 1)
    } - words
