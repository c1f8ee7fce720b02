"""The tree tells the truth: what the house rules say of the files holds for every file."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "node" / "waypost"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400

# Path below node/waypost -> lines it may have. Entries may shrink or go; none may be added.
LONG_FILES: dict[str, int] = {}

# Spelled in halves, so that this file passes its own test.
FORBIDDEN = [
    "/" + "work/",
    "/" + "tmp/" + "waypost",
    "/" + "root/",
    "/" + "home/",
    "/" + "Users/",
    "." + "pyenv",
    "pypi" + ".org",
    "python" + "hosted",
    "file:" + "///",
    "extra-index" + "-url",
    "find" + "-links",
]
LINK = re.compile(r"\]\(<?([^)\s>#]*)(?:#[^)\s>]*)?>?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@cache
def tracked() -> list[Path]:
    """Files that git holds; in an unpacked source archive, all of them that are not in a hidden folder."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        return [ROOT / name for name in names if not any(part.startswith(".") for part in name.parts)]
    return [path for name in listing.decode().split("\0") if name and (path := ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def catches_everything(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in kinds
    )


def unexplained_handlers(source: str) -> list[int]:
    """Lines of handlers that catch everything, do not raise again and carry no ``# reason:``."""
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler) or not catches_everything(node):
            continue
        raises = any(isinstance(inner, ast.Raise) for statement in node.body for inner in ast.walk(statement))
        explained = any("# reason:" in line for line in lines[node.lineno - 1 : node.body[0].lineno])
        if not raises and not explained:
            found.append(node.lineno)
    return found


def forbidden_in(text: str) -> list[str]:
    return [word for word in FORBIDDEN if word in text]


def broken_links(page: Path, text: str) -> list[str]:
    targets = [target for target in LINK.findall(CODE.sub("", text)) if target and ":" not in target]
    return [target for target in targets if not (page.parent / target).exists()]


def test_source_files_are_short() -> None:
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    over = {name: lines for name, lines in long.items() if lines > LONG_FILES.get(name, MAX_LINES)}
    assert not over, f"split these, they have more than {MAX_LINES} lines: {over}"
    slack = {name: limit for name, limit in LONG_FILES.items() if long.get(name, 0) < limit}
    assert not slack, f"these shrank; lower or remove their entries in LONG_FILES: {slack}"


def test_nothing_is_swallowed() -> None:
    found = [f"{name_of(path)}:{line}" for path in SOURCES for line in unexplained_handlers(path.read_text())]
    assert not found, f"catch narrowly, raise again, or say why with '# reason:': {found}"


def test_every_package_says_what_it_is() -> None:
    packages = {path.parent for path in SOURCES}
    silent = [
        name_of(package)
        for package in packages
        if not (init := package / "__init__.py").is_file() or not ast.get_docstring(ast.parse(init.read_text()))
    ]
    assert not silent, f"packages without an __init__.py that has a docstring: {sorted(silent)}"


def test_files_name_no_machine_and_no_registry() -> None:
    found = {}
    for path in tracked():
        try:
            words = forbidden_in(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
        if words:
            found[name_of(path)] = words
    assert not found


def test_links_lead_somewhere() -> None:
    broken = {
        name_of(page): links
        for page in tracked()
        if page.suffix == ".md" and (links := broken_links(page, page.read_text(encoding="utf-8")))
    }
    assert not broken


@pytest.mark.parametrize(
    ("handler", "lines"),
    [
        ("except Exception:\n    pass", [3]),
        ("except:\n    pass", [3]),
        ("except (OSError, BaseException) as e:\n    print(e)", [3]),
        ("except Exception:\n    log()\n    raise", []),
        ("except Exception:  # reason: a probe may fail in any way\n    pass", []),
        ("except Exception:\n    # reason: a probe may fail in any way\n    pass", []),
        ("except OSError:\n    pass", []),
    ],
)
def test_swallowing_handlers_are_found(handler: str, lines: list[int]) -> None:
    assert unexplained_handlers(f"try:\n    probe()\n{handler}\n") == lines


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    text = "[a](there.md#part) [b](gone.md) [c](https://x.example/y) [d](#here) `[e](code.md)`"
    assert broken_links(tmp_path / "page.md", text) == ["gone.md"]


def test_machine_paths_are_found() -> None:
    assert forbidden_in("state in " + "/" + "home/" + "me") == ["/" + "home/"]
