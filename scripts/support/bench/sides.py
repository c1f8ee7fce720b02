"""A side of a comparison: a tree of the project, and an interpreter that has what that tree depends on."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.support.bench.calibrate import interpreter

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Side:
    """`commit` is for people; `python` is a path."""

    commit: str
    tree: Path
    python: str

    def environment(self, *more: Path) -> dict[str, str]:
        """For a process of this side: its code comes from its tree, whatever the interpreter has installed."""
        path = [self.tree / "node", self.tree, *more]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}

    def check(self) -> None:
        """Raises RuntimeError if the interpreter takes the code from elsewhere."""
        ask = "import waypost; print(waypost.__file__)"
        command = [self.python, "-P", "-c", ask]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.tree, capture_output=True, text=True, check=False
        )
        found = done.stdout.strip()
        if not Path(found).is_relative_to(self.tree / "node"):
            raise RuntimeError(
                f"{self.commit}: the code comes from {found or 'nowhere'}, not {self.tree}\n{done.stderr}"
            )

    @cached_property
    def interpreter(self) -> dict[str, Any]:
        return interpreter(self.python)


def this_side() -> Side:
    """The tree that this file belongs to, with what is not committed."""
    return Side(_describe("HEAD", ROOT), ROOT, sys.executable)


@contextmanager
def side_of(revision: str, *, cache: Path | None = None) -> Iterator[Side]:
    """A commit of this repository in a directory of its own, which goes with the context. The repository is only read.

    Where it depends on other packages than this tree, they are installed into an environment of their own, which stays
    in the cache. Raises RuntimeError if there is no such commit, or if that fails.
    """
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
        tree = Path(folder).resolve() / "tree"
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=False)
        if archive.returncode:
            raise RuntimeError(f"{revision}: {archive.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
            packed.extractall(tree, filter="data")
        yield Side(_describe(revision, None), tree, _python_for(tree, cache or _cache()))


def _describe(revision: str, tree: Path | None) -> str:
    """Hash and subject; with a tree, also whether it holds changes."""
    git = ["git", "-C", str(ROOT)]
    shown = subprocess.run([*git, "log", "-1", "--format=%h %s", revision], capture_output=True, text=True, check=False)
    if shown.returncode:
        return "(no commit)"
    text = shown.stdout.strip()
    if tree is not None and subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode:
        text += " (and what is not committed)"
    return text


def _python_for(tree: Path, cache: Path) -> str:
    if _wanted(tree) == _wanted(ROOT):
        return sys.executable
    packages, constraints = _wanted(tree)
    base = Path(sys.executable).resolve()
    key = hashlib.sha256(repr((packages, constraints, str(base), sys.version)).encode()).hexdigest()[:16]
    place = cache / f"packages-{key}"
    python, done = place / "bin" / "python", place / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            print(f"waypost: installing what that commit depends on into {place}", file=sys.stderr)
            _run([str(base), "-m", "venv", "--clear", str(place)])
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*install, "-c", str(tree / "constraints.txt"), *packages])
            done.touch()
    return str(python)


def _wanted(tree: Path) -> tuple[tuple[str, ...], str]:
    """What a tree needs in order to run, and the exact versions that it names."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    return tuple(sorted(project["dependencies"])), (tree / "constraints.txt").read_text()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waypost-bench"
